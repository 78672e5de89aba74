-- Schema 1 of the embedded store.
--
-- Tables end in _raw and hold one row per (run, record): a run is one replay of one capture, or one life of a live
-- sensor, and a record's row is its present state within that run. Views without an ending are the report's words; their
-- columns are those of store/schema.rs, in its order. Views that end in _agg join the runs: first seen is the earliest,
-- last seen the latest, counts are sums, sets unions; identity is the latest's, evidence the earliest's, and what a
-- rule judged (severity, title, approval) is the judgement of the run that was begun last.
--
-- Objects are put together by hand: json_group_object cuts a name at a NUL, and names are a hostile peer's choice.
--
-- Times are nanoseconds since 1970-01-01T00:00:00Z: datetime(first_seen / 1000000000, 'unixepoch') reads one. Hashes
-- are hex digits. No message text, no query string, no header value is ever stored; definitions arrive redacted.

CREATE TABLE runs_raw (
    run TEXT NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,                   -- order in which runs were begun
    sources TEXT,                           -- JSON array; null until the capture's own state was written
    first_seen INTEGER, last_seen INTEGER,
    packets INTEGER, bytes INTEGER, flows INTEGER,
    kernel_drops INTEGER, queue_drops INTEGER, truncated_packets INTEGER, undecodable_packets INTEGER,
    gap_bytes INTEGER, evicted_flows INTEGER, shed_events INTEGER,
    encrypted_flows INTEGER, encrypted_bytes INTEGER, one_sided_flows INTEGER, ech_hellos INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE servers_raw (
    id TEXT NOT NULL, run TEXT NOT NULL,
    server TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL, hostname TEXT, path TEXT, address_key TEXT NOT NULL,
    encryption TEXT NOT NULL, decrypted INTEGER NOT NULL,
    evidence_rank INTEGER NOT NULL,         -- 0 message, 1 sni, 2 dns
    confidence REAL NOT NULL,
    server_name TEXT, server_version TEXT, instructions_sha256 TEXT,
    resources INTEGER NOT NULL, prompts INTEGER NOT NULL,
    auth_rank INTEGER,                      -- 0 none, 1 other, 2 basic, 3 api-key, 4 bearer; null: no request was read
    scope TEXT NOT NULL, approval TEXT,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, sessions INTEGER NOT NULL,
    requests INTEGER NOT NULL, responses INTEGER NOT NULL, errors INTEGER NOT NULL, notifications INTEGER NOT NULL,
    PRIMARY KEY (id, run)
) STRICT, WITHOUT ROWID;

-- sets of a server: transports, revisions, clients; rank puts them in the order of the report
CREATE TABLE server_sets_raw (
    server_id TEXT NOT NULL, kind TEXT NOT NULL, rank TEXT NOT NULL, value TEXT NOT NULL, run TEXT NOT NULL,
    PRIMARY KEY (server_id, kind, rank, value, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE server_methods_raw (
    server_id TEXT NOT NULL, method TEXT NOT NULL, run TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (server_id, method, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE tools_raw (
    server_id TEXT NOT NULL, tool TEXT NOT NULL, run TEXT NOT NULL,
    sha256 TEXT NOT NULL, description_sha256 TEXT, gone INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    PRIMARY KEY (server_id, tool, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE definitions_raw (
    server_id TEXT NOT NULL, tool TEXT NOT NULL, sha256 TEXT NOT NULL, run TEXT NOT NULL,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    PRIMARY KEY (server_id, tool, sha256, run)
) STRICT, WITHOUT ROWID;

-- text of definitions, once however many servers and runs share it
CREATE TABLE documents_raw (sha256 TEXT NOT NULL PRIMARY KEY, definition TEXT NOT NULL) STRICT;

CREATE TABLE clients_raw (
    id TEXT NOT NULL, run TEXT NOT NULL,    -- id: JSON array of address, name, version
    client TEXT NOT NULL, client_name TEXT, client_version TEXT, user_agent TEXT, address_key TEXT NOT NULL,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    PRIMARY KEY (id, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE client_servers_raw (
    client_id TEXT NOT NULL, rank TEXT NOT NULL, server TEXT NOT NULL, run TEXT NOT NULL,
    PRIMARY KEY (client_id, rank, server, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions_raw (
    id TEXT NOT NULL, run TEXT NOT NULL,
    server_id TEXT NOT NULL, server TEXT NOT NULL, address_key TEXT NOT NULL, port INTEGER NOT NULL,
    client TEXT, client_name TEXT, protocol_version TEXT, transport TEXT NOT NULL, messages INTEGER NOT NULL,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    PRIMARY KEY (id, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_age ON sessions_raw (last_seen);

CREATE TABLE session_calls_raw (
    session_id TEXT NOT NULL, tool TEXT NOT NULL, run TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (session_id, tool, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE lookups_raw (
    id TEXT NOT NULL, run TEXT NOT NULL,    -- id: JSON array of name, type, signature, via, client
    name TEXT NOT NULL, type TEXT, signature TEXT NOT NULL, category TEXT NOT NULL, via TEXT NOT NULL,
    client TEXT NOT NULL, address_key TEXT NOT NULL, count INTEGER NOT NULL,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    PRIMARY KEY (id, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX lookups_by_age ON lookups_raw (last_seen);

CREATE TABLE findings_raw (
    id TEXT NOT NULL, run TEXT NOT NULL,
    severity TEXT NOT NULL, severity_rank INTEGER NOT NULL, kind TEXT NOT NULL, server TEXT, client TEXT, tool TEXT,
    title TEXT NOT NULL, count INTEGER NOT NULL, confidence REAL NOT NULL, rule TEXT NOT NULL, server_id TEXT,
    session TEXT, direction TEXT, place TEXT, sample TEXT,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    community_id TEXT, packet_source INTEGER, packet_number INTEGER,
    refs TEXT NOT NULL,                     -- JSON array
    detail TEXT NOT NULL,                   -- JSON object
    PRIMARY KEY (id, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX findings_by_age ON findings_raw (severity_rank, last_seen);

-- one row per server; nth = 1 is its latest state
CREATE VIEW servers_agg AS
SELECT * FROM (
    SELECT
        s.id, s.server, s.address, s.port, s.hostname, s.path, s.address_key, s.encryption, s.server_name, s.server_version,
        s.instructions_sha256, s.resources, s.prompts, s.scope,
        row_number() OVER latest AS nth,
        first_value(s.approval) OVER judged AS approval,
        max(s.decrypted) OVER every AS decrypted, min(s.evidence_rank) OVER every AS evidence_rank,
        max(s.confidence) OVER every AS confidence, max(s.auth_rank) OVER every AS auth_rank,
        min(s.first_seen) OVER every AS first_seen, max(s.last_seen) OVER every AS last_seen,
        sum(s.sessions) OVER every AS sessions, sum(s.requests) OVER every AS requests,
        sum(s.responses) OVER every AS responses, sum(s.errors) OVER every AS errors,
        sum(s.notifications) OVER every AS notifications
    FROM servers_raw AS s JOIN runs_raw AS r USING (run)
    WINDOW every AS (PARTITION BY s.id), latest AS (PARTITION BY s.id ORDER BY s.last_seen DESC, r.seq DESC),
        judged AS (PARTITION BY s.id ORDER BY r.seq DESC)
) WHERE nth = 1;

-- one row per finding
CREATE VIEW findings_agg AS
SELECT * FROM (
    SELECT
        f.id, f.kind, f.server, f.client, f.tool, f.rule, f.session, f.direction, f.place, f.sample, f.community_id,
        f.packet_source, f.packet_number,
        row_number() OVER (
            PARTITION BY f.id ORDER BY f.first_seen, f.packet_source, f.packet_number, r.seq
        ) AS nth,
        first_value(f.severity) OVER judged AS severity, first_value(f.severity_rank) OVER judged AS severity_rank,
        first_value(f.title) OVER judged AS title, first_value(f.confidence) OVER judged AS confidence,
        first_value(f.refs) OVER judged AS refs, first_value(f.detail) OVER judged AS detail,
        first_value(f.server_id) OVER judged AS server_id,
        sum(f.count) OVER every AS count, min(f.first_seen) OVER every AS first_seen, max(f.last_seen) OVER every AS last_seen
    FROM findings_raw AS f JOIN runs_raw AS r USING (run)
    WINDOW every AS (PARTITION BY f.id), judged AS (PARTITION BY f.id ORDER BY r.seq DESC)
) WHERE nth = 1;

-- one row per definition of a tool; nth counts them in the order of first listing
CREATE VIEW definitions_agg AS
SELECT
    server_id, tool, sha256, first_seen, last_seen,
    row_number() OVER history AS nth, lag(sha256) OVER history AS before
FROM (
    SELECT server_id, tool, sha256, min(first_seen) AS first_seen, max(last_seen) AS last_seen
    FROM definitions_raw GROUP BY server_id, tool, sha256
)
WINDOW history AS (PARTITION BY server_id, tool ORDER BY first_seen, sha256);

CREATE VIEW captures AS
SELECT
    sources, first_seen, last_seen, packets, bytes, flows, kernel_drops, queue_drops, truncated_packets, undecodable_packets,
    gap_bytes, evicted_flows, shed_events, encrypted_flows, encrypted_bytes, one_sided_flows, ech_hellos
FROM runs_raw WHERE sources IS NOT NULL;

CREATE VIEW clients AS
SELECT
    c.client, c.client_name, c.client_version, c.user_agent,
    (SELECT json_group_array(server ORDER BY rank, server)
        FROM (SELECT DISTINCT rank, server FROM client_servers_raw WHERE client_id = c.id)) AS servers,
    c.first_seen, c.last_seen, c.address_key,
    EXISTS (SELECT 1 FROM client_servers_raw AS u JOIN servers_agg AS s ON s.server = u.server
        WHERE u.client_id = c.id AND s.approval IS NULL) AS unapproved
FROM (
    SELECT
        id, client, client_name, client_version, address_key,
        first_value(user_agent) OVER (PARTITION BY id ORDER BY first_seen, run) AS user_agent,
        row_number() OVER (PARTITION BY id ORDER BY first_seen, run) AS nth,
        min(first_seen) OVER (PARTITION BY id) AS first_seen, max(last_seen) OVER (PARTITION BY id) AS last_seen
    FROM clients_raw
) AS c WHERE nth = 1;

CREATE VIEW drift AS
SELECT
    d.first_seen AS time, s.server, d.server_id, d.tool, d.before AS from_sha256, d.sha256 AS to_sha256,
    (SELECT definition FROM documents_raw WHERE sha256 = d.before) AS from_definition,
    (SELECT definition FROM documents_raw WHERE sha256 = d.sha256) AS to_definition,
    s.address_key, s.port AS port_key, s.address AS server_address, s.hostname AS server_hostname,
    s.server_name AS server_self_name, s.approval IS NULL AS unapproved
FROM definitions_agg AS d JOIN servers_agg AS s ON s.id = d.server_id WHERE d.before IS NOT NULL;

CREATE VIEW findings AS
SELECT
    f.severity, f.kind, f.server, f.client, f.tool, f.title, f.count, f.confidence, f.rule, f.server_id, f.session,
    f.direction, f.place AS "where", f.sample, f.first_seen, f.last_seen, f.community_id, f.packet_source,
    f.packet_number, f.refs AS "references", f.detail, f.id, f.severity_rank, s.address AS server_address,
    s.hostname AS server_hostname, s.server_name AS server_self_name,
    CASE WHEN s.id IS NOT NULL THEN s.approval IS NULL END AS unapproved
FROM findings_agg AS f LEFT JOIN servers_agg AS s ON s.id = f.server_id;

CREATE VIEW lookups AS
SELECT
    name, type, signature, category, via, client, sum(count) AS count, min(first_seen) AS first_seen,
    max(last_seen) AS last_seen, address_key
FROM lookups_raw GROUP BY id;

CREATE VIEW servers AS
SELECT
    s.approval IS NOT NULL AS approved, s.server, s.hostname, s.path, s.server_name, s.server_version,
    (SELECT value FROM server_sets_raw WHERE server_id = s.id AND kind = 'transport' ORDER BY rank LIMIT 1) AS transport,
    (SELECT count(DISTINCT tool) FROM tools_raw WHERE server_id = s.id) AS tools,
    CASE s.auth_rank WHEN 0 THEN 'none' WHEN 1 THEN 'other' WHEN 2 THEN 'basic' WHEN 3 THEN 'api-key' WHEN 4 THEN 'bearer' END
        AS auth,
    s.scope,
    CASE w.severity_rank WHEN 0 THEN 'critical' WHEN 1 THEN 'high' WHEN 2 THEN 'medium' WHEN 3 THEN 'low' WHEN 4 THEN 'info' END
        AS worst,
    coalesce(w.findings, 0) AS findings, s.id, s.address, s.port,
    (SELECT json_group_array(value ORDER BY rank, value) FROM
        (SELECT DISTINCT rank, value FROM server_sets_raw WHERE server_id = s.id AND kind = 'transport')) AS transports,
    s.encryption, s.decrypted,
    CASE s.evidence_rank WHEN 0 THEN 'message' WHEN 1 THEN 'sni' ELSE 'dns' END AS evidence,
    s.confidence, s.instructions_sha256,
    (SELECT json_group_array(value ORDER BY rank, value) FROM
        (SELECT DISTINCT rank, value FROM server_sets_raw WHERE server_id = s.id AND kind = 'revision')) AS protocol_versions,
    s.resources, s.prompts, s.approval, s.first_seen, s.last_seen, s.sessions,
    (SELECT json_group_array(value ORDER BY rank, value) FROM
        (SELECT DISTINCT rank, value FROM server_sets_raw WHERE server_id = s.id AND kind = 'client')) AS clients,
    s.requests, s.responses, s.errors, s.notifications,
    (SELECT '{' || coalesce(group_concat(json_quote(method) || ':' || total), '') || '}' FROM
        (SELECT method, sum(count) AS total FROM server_methods_raw WHERE server_id = s.id GROUP BY method)) AS by_method,
    s.address_key, w.severity_rank, s.approval IS NULL AS unapproved
FROM servers_agg AS s LEFT JOIN (
    SELECT server_id, min(severity_rank) AS severity_rank, count(*) AS findings FROM findings_agg GROUP BY server_id
) AS w ON w.server_id = s.id;

CREATE VIEW sessions AS
SELECT
    e.id, e.server, e.server_id, e.client, e.client_name, e.protocol_version, e.transport, e.messages,
    (SELECT '{' || coalesce(group_concat(json_quote(tool) || ':' || total), '') || '}' FROM
        (SELECT tool, sum(count) AS total FROM session_calls_raw WHERE session_id = e.id GROUP BY tool)) AS calls,
    e.first_seen, e.last_seen, e.address_key, e.port AS port_key, s.address AS server_address,
    s.hostname AS server_hostname, s.server_name AS server_self_name,
    CASE WHEN s.id IS NOT NULL THEN s.approval IS NULL END AS unapproved
FROM (
    SELECT
        id, server, server_id, client, client_name, protocol_version, transport, address_key, port,
        row_number() OVER (PARTITION BY id ORDER BY last_seen DESC, run DESC) AS nth,
        sum(messages) OVER (PARTITION BY id) AS messages, min(first_seen) OVER (PARTITION BY id) AS first_seen,
        max(last_seen) OVER (PARTITION BY id) AS last_seen
    FROM sessions_raw
) AS e LEFT JOIN servers_agg AS s ON s.id = e.server_id WHERE e.nth = 1;

CREATE VIEW timeline AS
SELECT
    t.time, t.event, t.severity, t.kind, t.server, t.client, t.tool, t.about, t.id, t.severity_rank, t.server_id,
    s.address AS server_address, s.hostname AS server_hostname, s.server_name AS server_self_name,
    CASE WHEN s.id IS NOT NULL THEN s.approval IS NULL END AS unapproved
FROM (
    SELECT
        first_seen AS time, 'finding' AS event, severity, kind, server, client, tool, title AS about, id, severity_rank,
        server_id
    FROM findings_agg
    UNION ALL
    SELECT first_seen, 'server-appeared', NULL, NULL, server, NULL, NULL, server_name, id, NULL, id FROM servers_agg
    UNION ALL
    SELECT
        d.first_seen, CASE d.nth WHEN 1 THEN 'tool-appeared' ELSE 'tool-changed' END, NULL, NULL, v.server, NULL, d.tool,
        d.sha256, d.server_id, NULL, d.server_id
    FROM definitions_agg AS d JOIN servers_agg AS v ON v.id = d.server_id
    UNION ALL
    SELECT first_seen, 'client-appeared', NULL, NULL, NULL, client, NULL, client_name, NULL, NULL, NULL FROM clients
) AS t LEFT JOIN servers_agg AS s ON s.id = t.server_id;

CREATE VIEW tools AS
SELECT
    s.server, t.server_id, t.tool, t.sha256, t.description_sha256, t.gone, d.definitions, d.first_seen, d.last_seen,
    (SELECT definition FROM documents_raw WHERE sha256 = t.sha256) AS definition,
    s.address_key, s.port AS port_key, s.address AS server_address, s.hostname AS server_hostname,
    s.server_name AS server_self_name, s.approval IS NULL AS unapproved
FROM (
    SELECT
        server_id, tool, sha256, description_sha256, gone,
        row_number() OVER (PARTITION BY server_id, tool ORDER BY last_seen DESC, run DESC) AS nth
    FROM tools_raw
) AS t
JOIN servers_agg AS s ON s.id = t.server_id
JOIN (
    SELECT server_id, tool, count(*) AS definitions, min(first_seen) AS first_seen, max(last_seen) AS last_seen
    FROM definitions_agg GROUP BY server_id, tool
) AS d ON d.server_id = t.server_id AND d.tool = t.tool
WHERE t.nth = 1;
