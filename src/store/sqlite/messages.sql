-- Schema 3: messages, one row each, and what reports need of them by the hour.
--
-- What many messages have in common stands once: texts in words_raw, a flow and where it leads in routes_raw. Both carry
-- the time of the latest message that used them, so that forgetting looks at no message to know what nobody uses.

-- a run as a number
CREATE TABLE run_numbers_raw (id INTEGER NOT NULL PRIMARY KEY, run TEXT NOT NULL UNIQUE) STRICT;

-- methods, targets, revisions, addresses of clients
CREATE TABLE words_raw (id INTEGER NOT NULL PRIMARY KEY, word TEXT NOT NULL UNIQUE, last_seen INTEGER NOT NULL) STRICT;

-- the server of a site as it was joined last: sites that turn out to be one server change their row here, and no message
CREATE TABLE sites_raw (id INTEGER NOT NULL PRIMARY KEY, site TEXT NOT NULL UNIQUE, server_id TEXT NOT NULL) STRICT;
CREATE INDEX sites_by_server ON sites_raw (server_id);

CREATE TABLE routes_raw (
    id INTEGER NOT NULL PRIMARY KEY,
    run INTEGER NOT NULL, flow INTEGER NOT NULL, site INTEGER NOT NULL, client TEXT NOT NULL,
    client_port INTEGER NOT NULL, server TEXT NOT NULL, community_id TEXT NOT NULL, last_seen INTEGER NOT NULL,
    UNIQUE (run, flow, site, client)
) STRICT;

CREATE TABLE messages_raw (
    time INTEGER NOT NULL, route INTEGER NOT NULL, number INTEGER NOT NULL,
    what INTEGER NOT NULL,                  -- 0 request, 1 notification, 2 success, 3 error; + 4 to the client, + 8 failed
    method INTEGER, target INTEGER, session INTEGER, rpc_id INTEGER, revision INTEGER,
    http_status INTEGER, error_code INTEGER, bytes INTEGER NOT NULL, latency_us INTEGER,
    PRIMARY KEY (time, route, number)
) STRICT, WITHOUT ROWID;

-- who asked which server for what: reports never read messages to tell it
CREATE TABLE usage_raw (
    hour INTEGER NOT NULL, run INTEGER NOT NULL, site INTEGER NOT NULL, client INTEGER NOT NULL,
    method INTEGER NOT NULL, target INTEGER NOT NULL,       -- 0: none
    messages INTEGER NOT NULL, requests INTEGER NOT NULL, failed INTEGER NOT NULL, bytes INTEGER NOT NULL,
    answers INTEGER NOT NULL, latency_us INTEGER NOT NULL,  -- answers with a latency, and the sum of it
    latency_max_us INTEGER NOT NULL,
    PRIMARY KEY (hour, run, site, client, method, target)
) STRICT, WITHOUT ROWID;

CREATE VIEW messages AS
SELECT
    m.time, r.client, r.server, CASE WHEN m.what & 4 THEN 'server-to-client' ELSE 'client-to-server' END AS direction,
    CASE m.what & 3 WHEN 0 THEN 'request' WHEN 1 THEN 'notification' WHEN 2 THEN 'response' ELSE 'error' END AS kind,
    (SELECT word FROM words_raw WHERE id = m.method) AS method, (SELECT word FROM words_raw WHERE id = m.target) AS target,
    m.what & 8 <> 0 AS failed, m.latency_us, m.http_status, m.error_code, m.bytes,
    CASE WHEN m.session IS NOT NULL THEN printf('%016x', m.session) END AS session,
    (SELECT word FROM words_raw WHERE id = m.revision) AS protocol_version, i.server_id, r.client_port, r.community_id,
    CASE WHEN m.rpc_id IS NOT NULL THEN printf('%016x', m.rpc_id) END AS rpc_id,
    printf('%016x', r.flow) AS flow, m.number, s.address AS server_address, s.hostname AS server_hostname,
    s.server_name AS server_self_name, CASE WHEN s.id IS NOT NULL THEN s.approval IS NULL END AS unapproved
FROM messages_raw AS m
JOIN routes_raw AS r ON r.id = m.route
JOIN sites_raw AS i ON i.id = r.site
LEFT JOIN servers_agg AS s ON s.id = i.server_id;

CREATE VIEW usage AS
SELECT
    u.time, u.client, s.server, u.method, u.target, u.messages, u.requests, u.failed, u.bytes, u.latency_us,
    u.latency_max_us, u.server_id, s.address_key, s.port AS port_key, s.address AS server_address,
    s.hostname AS server_hostname, s.server_name AS server_self_name,
    CASE WHEN s.id IS NOT NULL THEN s.approval IS NULL END AS unapproved
FROM (
    SELECT
        g.hour AS time, c.word AS client, i.server_id, w.word AS method, t.word AS target, sum(g.messages) AS messages,
        sum(g.requests) AS requests, sum(g.failed) AS failed, sum(g.bytes) AS bytes,
        CASE WHEN sum(g.answers) > 0 THEN sum(g.latency_us) / sum(g.answers) END AS latency_us,
        CASE WHEN sum(g.answers) > 0 THEN max(g.latency_max_us) END AS latency_max_us
    FROM usage_raw AS g
    JOIN sites_raw AS i ON i.id = g.site
    JOIN words_raw AS c ON c.id = g.client
    LEFT JOIN words_raw AS w ON w.id = g.method
    LEFT JOIN words_raw AS t ON t.id = g.target
    GROUP BY g.hour, c.word, i.server_id, w.word, t.word
) AS u LEFT JOIN servers_agg AS s ON s.id = u.server_id;
