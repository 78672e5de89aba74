//! Forgetting.

use super::*;

use std::net::IpAddr;

use crate::inventory::account::ToolSeen;
use crate::inventory::admission::InventoryConfig;
use crate::model::net::{Endpoint, FiveTuple, Transport};
use crate::model::server::{Capture, Mark};
use crate::model::stamp::{Span, Stamp};

fn at(seconds: i64) -> Stamp {
    Stamp {
        time: Timestamp::from_parts(seconds, 0),
        ..Stamp::default()
    }
}

fn site(host: u8) -> SiteKey {
    SiteKey {
        endpoint: Endpoint::new(IpAddr::from([10, 0, 0, host]), 80),
        hostname: None,
        path: Some("/mcp".into()),
    }
}

/// A proven site with one tool, seen at one moment.
fn account(seconds: i64, tool: &str) -> Account {
    let end = site(1).endpoint;
    let flow = FiveTuple {
        transport: Transport::Tcp,
        client: end,
        server: end,
    };
    let seen = Span::at(at(seconds));
    let mark = Mark {
        at: at(seconds),
        flow,
        session: None,
    };
    let listed = ToolSeen {
        given: BTreeMap::new(),
        seen,
        mark,
        description_sha256: None,
        definition: tool.into(),
    };
    let mut account = Account {
        seen: Some(seen),
        proof: Proof::SERVER,
        tools: BTreeMap::from([((tool.to_owned(), [tool.len() as u8; 32]), listed)]),
        ..Account::default()
    };
    account
        .identities
        .insert((tool.to_owned(), String::new()), (seen, mark));
    account
}

#[test]
fn what_was_not_seen_since_is_forgotten() {
    let inventory = Inventory::default();
    let mut admission = Admission::new(&InventoryConfig::default());
    let mut join = |host: u8, account: Account| {
        let mut tally = Tally::default();
        tally.accounts.push((site(host), account));
        inventory.join(&mut tally, &mut admission);
    };
    join(1, account(10, "early"));
    join(2, account(10, "early"));
    join(2, account(20, "later on"));
    assert_eq!((inventory.accounts.len(), inventory.texts.len()), (2, 2));

    inventory.forget(at(10).time);
    assert_eq!((inventory.accounts.len(), inventory.texts.len()), (2, 2));

    inventory.forget(at(11).time);
    let view = inventory.view(Capture::default());
    let servers: Vec<_> = view.servers.iter().map(|server| server.endpoint).collect();
    assert_eq!(servers, [site(2).endpoint]);
    let tools: Vec<_> = view.servers[0].tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(tools, ["later on"]);
    // What has no time of its own stays: the server is as proven as before, and known for as long.
    assert_eq!(view.servers[0].seen.first, at(10));
    drop(view);
    assert_eq!(inventory.texts.len(), 1);

    inventory.forget(at(21).time);
    assert_eq!((inventory.accounts.len(), inventory.texts.len()), (0, 0));
}

#[test]
fn made_up_methods_do_not_pile_up() {
    let mut account = account(10, "tool");
    let methods = |account: &Account| account.messages.by_method.len();
    account.messages.by_method.insert("tools/list".to_owned(), 1);
    account.messages.by_method.insert("own/method".to_owned(), 1);
    assert!(account.forget(at(10).time));
    assert_eq!(methods(&account), 2);
    for nth in 0..1_000 {
        account.messages.by_method.insert(format!("x/{nth}"), 1);
    }
    assert!(account.forget(at(10).time));
    assert_eq!(account.messages.by_method.keys().collect::<Vec<_>>(), ["tools/list"]);
}
