//! Messages and what they sum up to by the hour, over a snapshot.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::mcp::{Revision, RpcKind};
use crate::model::message_seen::{MessageRow, MessageSeen};
use crate::model::server::View;
use crate::model::stamp::Timestamp;
use crate::store::Value;
use crate::store::memory::{Row, address, server_keys, server_of, text};
use crate::store::query::address_key;

pub(super) fn messages(view: &View) -> Vec<Row> {
    view.messages.iter().map(|row| message(view, row)).collect()
}

fn message(view: &View, row: &MessageRow) -> Row {
    let seen = &row.seen;
    let name = |name: &Option<std::sync::Arc<str>>| Value::text(name.as_deref());
    let number = |number: Option<i64>| number.map_or(Value::Null, Value::Int);
    let mut cells = vec![
        Value::Time(seen.at.time),
        address(seen.route.client),
        text(row.server),
        text(seen.dir.word()),
        text(kind(seen)),
        name(&seen.method),
        name(&seen.target),
        Value::Bool(seen.failed),
        number(seen.latency_us.map(i64::from)),
        number(seen.http_status.map(i64::from)),
        number(seen.error_code.map(i64::from)),
        Value::Int(seen.bytes.into()),
        digits(row.session),
        Value::text(seen.revision.as_ref().map(Revision::as_str)),
        text(&row.server_id),
        Value::Int(seen.route.flow.client.port.into()),
        text(seen.route.flow.community_id()),
        digits(seen.rpc_id),
        digits(Some(seen.route.flow_id)),
        Value::Int(seen.number.into()),
    ];
    cells.extend(server_keys(server_of(view, Some(&row.server_id))));
    cells
}

fn digits(hash: Option<u64>) -> Value {
    Value::text(hash.map(|hash| format!("{hash:016x}")))
}

/// The word of a message's kind.
fn kind(seen: &MessageSeen) -> &'static str {
    match seen.kind {
        RpcKind::Error => "error",
        RpcKind::Notification => "notification",
        RpcKind::Request => "request",
        RpcKind::Success => "response",
    }
}

/// Hour, client, server id, method, target.
type Use<'v> = (Timestamp, IpAddr, &'v str, Option<&'v str>, Option<&'v str>);

#[derive(Default)]
struct Sum {
    messages: u64,
    requests: u64,
    failed: u64,
    bytes: u64,
    answers: u64,
    latency_us: u64,
    latency_max_us: u64,
}

pub(super) fn usage(view: &View) -> Vec<Row> {
    let mut hours: BTreeMap<Use<'_>, Sum> = BTreeMap::new();
    for row in &view.messages {
        let seen = &row.seen;
        let (method, target) = (seen.method.as_deref(), seen.target.as_deref());
        let used = (seen.at.time.hour(), seen.route.client, &*row.server_id, method, target);
        let sum = hours.entry(used).or_default();
        sum.messages += 1;
        sum.requests += u64::from(seen.kind == RpcKind::Request);
        sum.failed += u64::from(seen.failed);
        sum.bytes += u64::from(seen.bytes);
        if let Some(latency_us) = seen.latency_us {
            sum.answers += 1;
            sum.latency_us += u64::from(latency_us);
            sum.latency_max_us = sum.latency_max_us.max(latency_us.into());
        }
    }
    let row = |((hour, client, server_id, method, target), sum): (Use<'_>, Sum)| {
        let server = server_of(view, Some(server_id));
        let of_answers = |value: u64| {
            if sum.answers > 0 {
                Value::count(value)
            } else {
                Value::Null
            }
        };
        let mut cells = vec![
            Value::Time(hour),
            address(client),
            server.map_or(Value::Null, |server| text(server.endpoint)),
            Value::text(method),
            Value::text(target),
        ];
        cells.extend([sum.messages, sum.requests, sum.failed, sum.bytes].map(Value::count));
        cells.extend([
            of_answers(sum.latency_us / sum.answers.max(1)),
            of_answers(sum.latency_max_us),
            text(server_id),
            server.map_or(Value::Null, |server| Value::Text(address_key(server.endpoint.addr))),
            server.map_or(Value::Null, |server| Value::Int(server.endpoint.port.into())),
        ]);
        cells.extend(server_keys(server));
        cells
    };
    hours.into_iter().map(row).collect()
}
