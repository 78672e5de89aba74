//! Who uses what: clients, the servers they use, and the servers that those use in turn, as a picture and as a table.
//!
//! A client that is itself a server's address stands in the middle: what it uses is upstream. The picture is bounded: the
//! servers with the worst findings first.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;

use crate::model::finding::Severity;
use crate::report::grid::{count, thousands};
use crate::report::html::doors::Doors;
use crate::report::html::parts::{Cell, Head, Link, Shown, Table};
use crate::report::html::words::{Standing, approval, server_name, standing};
use crate::store::Rows;
use crate::store::record::Record;

/// Nodes of one column of the picture.
const NODES_MAX: usize = 30;
/// Rows of the table.
const TABLE_MAX: usize = 500;
/// Height of a node with its gap.
const PITCH: usize = 40;
/// Width of a node.
const NODE_WIDTH: usize = 230;
/// Left ends of the three columns.
const LEFT: [usize; 3] = [0, 345, 690];
/// Characters that fit into a node.
const NAME_CHARS: usize = 30;

#[derive(Debug)]
struct Column {
    x: usize,
    name: &'static str,
}

#[derive(Debug)]
struct Node {
    class: &'static str,
    href: Option<String>,
    x: usize,
    y: usize,
    width: usize,
    text_x: usize,
    text_y: usize,
    second_y: usize,
    name: Shown,
    second: Shown,
}

#[derive(Debug)]
struct Edge {
    class: &'static str,
    path: String,
}

/// The picture.
#[derive(Debug, Template)]
#[template(path = "graph.html", config = "src/report/html/askama.toml")]
pub struct Graph {
    id: &'static str,
    title: &'static str,
    summary: String,
    width: usize,
    height: usize,
    columns: Vec<Column>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    left_off: usize,
    table_max: usize,
}

/// Who uses which server: client address, place of the server in its rows.
fn uses(servers: &[Record<'_>]) -> Vec<(String, usize)> {
    let mut all = Vec::new();
    for (at, server) in servers.iter().enumerate() {
        all.extend(server.list("clients").iter().map(|client| (client.clone(), at)));
    }
    all
}

/// Servers in the order in which they deserve a place: not approved, worst finding, most clients.
fn by_weight(servers: &Rows) -> Vec<Record<'_>> {
    let mut servers: Vec<Record<'_>> = servers.records().collect();
    let worst = |row: &Record<'_>| row.text("worst").and_then(Severity::parse);
    servers.sort_by_key(|row| {
        (
            standing(row),
            std::cmp::Reverse((worst(row), row.list("clients").len())),
        )
    });
    servers
}

impl Graph {
    /// Of servers and clients.
    pub fn new(servers: &Rows, clients: &Rows, doors: Doors) -> Self {
        let servers = by_weight(servers);
        let uses = uses(&servers);
        let hosts: BTreeSet<&str> = servers.iter().filter_map(|server| server.text("address")).collect();
        // A host that serves and uses stands in the middle; what it uses stands right.
        let upstream: BTreeSet<usize> = uses
            .iter()
            .filter(|(client, at)| hosts.contains(client.as_str()) && servers[*at].text("address") != Some(client))
            .map(|(_, at)| *at)
            .collect();
        let column = |at: usize| if upstream.contains(&at) { 2 } else { 1 };
        let mut placed: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let mut taken = [0_usize; 3];
        for at in 0..servers.len() {
            let column = column(at);
            if taken[column] < NODES_MAX {
                placed.insert(at, (column, taken[column]));
                taken[column] += 1;
            }
        }
        // Clients stand beside what they use, so that few lines cross.
        let mut wanted: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (client, at) in &uses {
            if let Some((_, row)) = placed.get(at).filter(|_| !hosts.contains(client.as_str())) {
                let sum = wanted.entry(client).or_insert((0, 0));
                (sum.0, sum.1) = (sum.0 + row, sum.1 + 1);
            }
        }
        let mut order: Vec<(usize, &str)> = wanted
            .iter()
            .map(|(client, (sum, number))| (sum * 1_000 / (*number).max(1), *client))
            .collect();
        order.sort_unstable();
        order.truncate(NODES_MAX);
        let rows: BTreeMap<&str, usize> = order
            .iter()
            .enumerate()
            .map(|(row, (_, client))| (*client, row))
            .collect();
        let mut host_rows: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (at, place) in &placed {
            if let Some(address) = servers[*at].text("address") {
                host_rows.entry(address).or_insert(*place);
            }
        }
        let mut edges = Vec::new();
        for (client, at) in &uses {
            let from = rows.get(client.as_str()).map(|row| (0, *row));
            let from = from.or_else(|| host_rows.get(client.as_str()).copied());
            if let (Some(from), Some(to)) = (from, placed.get(at).copied())
                && from.0 < to.0
            {
                edges.push(edge(from, to, standing(&servers[*at])));
            }
        }
        let mut nodes: Vec<Node> = placed
            .iter()
            .map(|(at, place)| server_node(&servers[*at], *place, doors))
            .collect();
        let names: BTreeMap<&str, &str> = clients
            .records()
            .filter_map(|client| Some((client.text("client")?, client.text("client_name")?)))
            .collect();
        nodes.extend(rows.iter().map(|(client, row)| {
            let name = names.get(client).copied().unwrap_or("");
            node("client", doors.client(Some(client)), (0, *row), client, name)
        }));
        let highest = taken[1].max(taken[2]).max(rows.len()).max(1);
        let columns = [
            ("Clients", 0, !rows.is_empty()),
            ("Servers", 1, taken[1] > 0),
            ("Upstream servers", 2, taken[2] > 0),
        ];
        Self {
            id: "graph",
            title: "Who uses which server",
            summary: format!(
                "{} use {}; the table below says the same",
                count(rows.len() as u64, "client", "clients"),
                count(placed.len() as u64, "server", "servers")
            ),
            width: LEFT[if taken[2] > 0 { 2 } else { 1 }] + NODE_WIDTH + 2,
            height: 24 + highest * PITCH,
            columns: columns
                .into_iter()
                .filter(|(_, _, there)| *there)
                .map(|(name, column, _)| Column { x: LEFT[column], name })
                .collect(),
            nodes,
            left_off: uses.len().saturating_sub(edges.len()),
            edges,
            table_max: TABLE_MAX,
        }
    }
}

fn server_node(server: &Record<'_>, place: (usize, usize), doors: Doors) -> Node {
    let class = match standing(server) {
        Standing::Approved => "approved",
        Standing::Suspected => "suspected",
        Standing::Unapproved => "unapproved",
    };
    let mark = match standing(server) {
        Standing::Approved => "✓ approved",
        Standing::Suspected => "? suspected",
        Standing::Unapproved => "✕ not approved",
    };
    let second = format!("{mark} · {}", server.text("server").unwrap_or(""));
    node(
        class,
        doors.server(server.text("id")),
        place,
        server_name(server),
        &second,
    )
}

fn node(class: &'static str, href: Option<String>, (column, row): (usize, usize), name: &str, second: &str) -> Node {
    let (x, y) = (LEFT[column] + 1, 22 + row * PITCH);
    Node {
        class,
        href,
        x,
        y,
        width: NODE_WIDTH,
        text_x: x + 8,
        text_y: if second.is_empty() { y + 19 } else { y + 13 },
        second_y: y + 25,
        name: Shown::short(name, NAME_CHARS),
        second: Shown::short(second, NAME_CHARS + 8),
    }
}

fn edge(from: (usize, usize), to: (usize, usize), standing: Standing) -> Edge {
    let (x1, y1) = (LEFT[from.0] + NODE_WIDTH + 1, 37 + from.1 * PITCH);
    let (x2, y2) = (LEFT[to.0] + 1, 37 + to.1 * PITCH);
    let bend = (x2 - x1) / 2;
    Edge {
        class: match standing {
            Standing::Approved => "approved",
            Standing::Suspected => "suspected",
            Standing::Unapproved => "unapproved",
        },
        path: format!("M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}", x1 + bend, x2 - bend),
    }
}

/// The same as a table.
pub fn table(servers: &Rows, clients: &Rows, doors: Doors) -> Table {
    let servers = by_weight(servers);
    let uses = uses(&servers);
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for client in clients.records() {
        if let (Some(address), Some(name)) = (client.text("client"), client.text("client_name")) {
            names.entry(address).or_insert(name);
        }
    }
    let row = |(client, at): &(String, usize)| {
        let server = &servers[*at];
        vec![
            Cell::Link(Link::new(doors.client(Some(client)), client).below(names.get(client.as_str()).copied())),
            Cell::Link(Link::new(doors.server(server.text("id")), server_name(server)).below(server.text("server"))),
            approval(server),
            Cell::severity(server.text("worst")),
            Cell::time(server.time("last_seen")),
        ]
    };
    Table {
        id: "uses",
        caption: match uses.len() {
            all if all > TABLE_MAX => format!("{TABLE_MAX} of {} connections", thousands(all as u64)),
            all => count(all as u64, "connection", "connections"),
        },
        heads: vec![
            Head::of("Client", "lead"),
            Head::new("Server"),
            Head::new("Approval"),
            Head::new("Worst finding"),
            Head::of("Last seen", "time"),
        ],
        rows: uses.iter().take(TABLE_MAX).map(row).collect(),
        empty: "Nobody was seen to use a server.",
    }
}
