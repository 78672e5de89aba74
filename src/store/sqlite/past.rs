//! What earlier runs saw, read whole before a run starts: the newest, within bounds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rusqlite::params;

use crate::model::mcp::Auth;
use crate::model::net::Endpoint;
use crate::model::past::{Past, PastDefinition, PastServer, PastState};
use crate::model::stamp::Timestamp;
use crate::store::StoreError;
use crate::store::sqlite::{Reader, explain};

/// Most rows of each kind: servers by run, definitions by run, clients by server.
const MAX_ROWS: i64 = 65_536;
/// Most text of definitions, in bytes; of what is beyond it the hashes are known.
const TEXT_MAX_BYTES: usize = 64 << 20;

/// Credentials by their rank in the store.
const AUTHS: [Auth; 5] = [Auth::None, Auth::Other, Auth::Basic, Auth::ApiKey, Auth::Bearer];

impl Reader {
    /// What earlier runs saw.
    ///
    /// # Errors
    /// When the database says so.
    pub fn past(&self) -> Result<Past, StoreError> {
        let read = || -> rusqlite::Result<Past> {
            let mut past = Past::default();
            self.past_states(&mut past)?;
            self.past_clients(&mut past)?;
            self.past_tools(&mut past)?;
            Ok(past)
        };
        read().map_err(|error| explain(&self.path, &error))
    }

    fn past_states(&self, past: &mut Past) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(
            "SELECT id, first_seen, last_seen, server_name, server_version, instructions_sha256, auth_rank, requests,
                address, port, hostname, path
             FROM servers_raw WHERE evidence_rank = 0 ORDER BY last_seen DESC, id, run LIMIT ?1",
        )?;
        let mut rows = statement.query(params![MAX_ROWS])?;
        while let Some(row) = rows.next()? {
            let rank: Option<i64> = row.get(6)?;
            let state = PastState {
                first: Timestamp::from_nanos(row.get(1)?),
                last: Timestamp::from_nanos(row.get(2)?),
                name: row.get(3)?,
                version: row.get(4)?,
                instructions_sha256: row.get(5)?,
                auth: rank
                    .and_then(|rank| usize::try_from(rank).ok())
                    .and_then(|rank| AUTHS.get(rank).copied()),
                requests: u64::try_from(row.get::<_, i64>(7)?).unwrap_or(0),
                clients: Default::default(),
            };
            let id: String = row.get(0)?;
            let (address, port): (String, u16) = (row.get(8)?, row.get(9)?);
            let (hostname, path): (Option<String>, Option<String>) = (row.get(10)?, row.get(11)?);
            if let Ok(address) = address.parse() {
                past.locate(&id, Endpoint::new(address, port), hostname.as_deref(), path.as_deref());
            }
            server(past, id).states.push(state);
        }
        past.servers.values_mut().for_each(|server| server.states.reverse());
        Ok(())
    }

    /// Of which run they are is not told apart: a client that ever used a server is none of its new ones.
    fn past_clients(&self, past: &mut Past) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(
            "SELECT m.server_id, m.value, s.last_seen FROM server_sets_raw AS m
             JOIN servers_raw AS s ON s.id = m.server_id AND s.run = m.run
             WHERE m.kind = 'client' ORDER BY s.last_seen DESC, m.server_id, m.value LIMIT ?1",
        )?;
        let mut rows = statement.query(params![MAX_ROWS])?;
        while let Some(row) = rows.next()? {
            let (id, client): (String, String) = (row.get(0)?, row.get(1)?);
            let last = Timestamp::from_nanos(row.get(2)?);
            let states = past.servers.get_mut(&id).map(|server| &mut server.states);
            let Ok(client) = client.parse::<IpAddr>() else { continue };
            for state in states.into_iter().flatten().filter(|state| state.last == last) {
                state.clients.insert(client);
            }
        }
        Ok(())
    }

    fn past_tools(&self, past: &mut Past) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(
            "SELECT d.server_id, d.tool, d.sha256, d.last_seen, coalesce(t.gone, 0), x.definition
             FROM definitions_raw AS d
             LEFT JOIN tools_raw AS t ON t.server_id = d.server_id AND t.tool = d.tool AND t.run = d.run
             LEFT JOIN documents_raw AS x ON x.sha256 = d.sha256
             ORDER BY d.last_seen DESC, d.server_id, d.tool, d.sha256, d.run LIMIT ?1",
        )?;
        let mut rows = statement.query(params![MAX_ROWS])?;
        let mut texts: BTreeMap<String, Arc<str>> = BTreeMap::new();
        let mut bytes = 0_usize;
        while let Some(row) = rows.next()? {
            let sha256: String = row.get(2)?;
            let definition = match texts.get(&sha256) {
                Some(known) => Arc::clone(known),
                None => {
                    let text: String = row.get::<_, Option<String>>(5)?.unwrap_or_default();
                    bytes = bytes.saturating_add(text.len());
                    let text: Arc<str> = if bytes > TEXT_MAX_BYTES { "".into() } else { text.into() };
                    texts.insert(sha256.clone(), Arc::clone(&text));
                    text
                }
            };
            let seen = PastDefinition {
                last: Timestamp::from_nanos(row.get(3)?),
                sha256,
                definition,
                gone: row.get(4)?,
            };
            let (id, tool): (String, String) = (row.get(0)?, row.get(1)?);
            server(past, id).tools.entry(tool).or_default().push(seen);
        }
        for server in past.servers.values_mut() {
            server.tools.values_mut().for_each(|definitions| definitions.reverse());
        }
        Ok(())
    }
}

fn server(past: &mut Past, id: String) -> &mut PastServer {
    past.servers.entry(id).or_default()
}
