-- Views for ClickHouse. Each statement ends in a semicolon at the end of a line.
--
-- The report's words have the names and columns of store/schema.rs. Below them lie, for each kind of record, the states
-- that count now (_now), and the join of all sensors and runs (_agg): first seen is the earliest, last seen the latest,
-- sets are unions; identity is the latest's, evidence the earliest's, and what a rule judged is the judgement of the run
-- that was begun last.
--
-- Counts: what one sensor saw in several runs is added up. What several sensors saw of one finding, session or lookup is
-- the same traffic on several taps, and the greatest of their counts is the best that is known. Of a server, sensors that
-- share no client saw different traffic, which adds up; where they share one, the greatest counts are taken.
--
-- A missing row of a join is null only where its columns can be: hence toNullable.

CREATE OR REPLACE VIEW begun_now AS
SELECT sensor, run, max(began) AS began FROM begun_raw GROUP BY sensor, run;

-- states of starts that count; begun_now may lack one whose first batch is on its way
CREATE OR REPLACE VIEW servers_now AS
SELECT s.* FROM servers_raw AS s FINAL
LEFT JOIN begun_now AS b ON b.sensor = s.sensor AND b.run = s.run
WHERE NOT s.gone AND s.began >= b.began;

CREATE OR REPLACE VIEW findings_now AS
SELECT s.* FROM findings_raw AS s FINAL
LEFT JOIN begun_now AS b ON b.sensor = s.sensor AND b.run = s.run
WHERE NOT s.gone AND s.began >= b.began;

CREATE OR REPLACE VIEW clients_now AS
SELECT s.* FROM clients_raw AS s FINAL
LEFT JOIN begun_now AS b ON b.sensor = s.sensor AND b.run = s.run
WHERE NOT s.gone AND s.began >= b.began;

CREATE OR REPLACE VIEW sessions_now AS
SELECT s.* FROM sessions_raw AS s FINAL
LEFT JOIN begun_now AS b ON b.sensor = s.sensor AND b.run = s.run
WHERE s.began >= b.began;

CREATE OR REPLACE VIEW lookups_now AS
SELECT s.* FROM lookups_raw AS s FINAL
LEFT JOIN begun_now AS b ON b.sensor = s.sensor AND b.run = s.run
WHERE s.began >= b.began;

CREATE OR REPLACE VIEW documents_now AS
SELECT sha256, any(definition) AS definition FROM documents_raw GROUP BY sha256;

CREATE OR REPLACE VIEW servers_agg AS
SELECT
    id, now.1 AS server, now.2 AS address, now.3 AS port, now.4 AS hostname, now.5 AS path, now.6 AS address_key,
    now.7 AS encryption, now.8 AS server_name, now.9 AS server_version, now.10 AS instructions_sha256,
    now.11 AS resources, now.12 AS prompts, now.13 AS scope, judged.1 AS approval,
    decrypted, evidence_rank, confidence, auth_rank, first_seen, last_seen, transports, revisions, clients, sensors,
    if(apart, sessions_sum, sessions_max) AS sessions, if(apart, requests_sum, requests_max) AS requests,
    if(apart, responses_sum, responses_max) AS responses, if(apart, errors_sum, errors_max) AS errors,
    if(apart, notifications_sum, notifications_max) AS notifications,
    if(apart, by_method_sum, by_method_max) AS by_method
FROM (
    SELECT
        o.id AS id, argMax(o.now, o.latest) AS now, argMax(o.judged, o.judgement) AS judged,
        max(o.decrypted) AS decrypted, min(o.evidence_rank) AS evidence_rank, max(o.confidence) AS confidence,
        max(o.auth_rank) AS auth_rank, min(o.first_seen) AS first_seen, max(o.last_seen) AS last_seen,
        groupUniqArrayArray(o.transports) AS transports, groupUniqArrayArray(o.revisions) AS revisions,
        groupUniqArrayArray(o.clients) AS clients, arraySort(groupUniqArray(o.sensor)) AS sensors,
        sum(length(o.clients)) = length(groupUniqArrayArray(o.clients)) AS apart,
        sum(o.sessions) AS sessions_sum, max(o.sessions) AS sessions_max,
        sum(o.requests) AS requests_sum, max(o.requests) AS requests_max,
        sum(o.responses) AS responses_sum, max(o.responses) AS responses_max,
        sum(o.errors) AS errors_sum, max(o.errors) AS errors_max,
        sum(o.notifications) AS notifications_sum, max(o.notifications) AS notifications_max,
        sumMap(o.by_method) AS by_method_sum, maxMap(o.by_method) AS by_method_max
    FROM (
        SELECT
            s.id AS id, s.sensor AS sensor,
            max((s.last_seen, s.began, s.run)) AS latest,
            argMax((s.server, s.address, s.port, s.hostname, s.path, s.address_key, s.encryption, s.server_name,
                s.server_version, s.instructions_sha256, s.resources, s.prompts, s.scope), (s.last_seen, s.began, s.run))
                AS now,
            max((s.began, s.run)) AS judgement, argMax(tuple(s.approval), (s.began, s.run)) AS judged,
            max(s.decrypted) AS decrypted, min(s.evidence_rank) AS evidence_rank, max(s.confidence) AS confidence,
            max(s.auth_rank) AS auth_rank, min(s.first_seen) AS first_seen, max(s.last_seen) AS last_seen,
            groupUniqArrayArray(s.transports) AS transports, groupUniqArrayArray(s.revisions) AS revisions,
            groupUniqArrayArray(s.clients) AS clients,
            sum(s.sessions) AS sessions, sum(s.requests) AS requests, sum(s.responses) AS responses,
            sum(s.errors) AS errors, sum(s.notifications) AS notifications, sumMap(s.by_method) AS by_method
        FROM servers_now AS s GROUP BY s.id, s.sensor
    ) AS o
    GROUP BY o.id
);

-- what other words say of a server; null where there is none
CREATE OR REPLACE VIEW servers_named AS
SELECT
    id, toNullable(address) AS server_address, hostname AS server_hostname, server_name AS server_self_name,
    toNullable(approval IS NULL) AS unapproved, server, address_key, port
FROM servers_agg;

CREATE OR REPLACE VIEW findings_agg AS
SELECT
    id, first.1 AS kind, first.2 AS server, first.3 AS client, first.4 AS tool, first.5 AS rule, first.6 AS session,
    first.7 AS direction, first.8 AS place, first.9 AS sample, first.10 AS community_id, first.11 AS packet_source,
    first.12 AS packet_number, judged.1 AS severity, judged.2 AS severity_rank, judged.3 AS title,
    judged.4 AS confidence, judged.5 AS refs, judged.6 AS detail, judged.7 AS server_id,
    count, first_seen, last_seen, sensors
FROM (
    SELECT
        o.id AS id, argMin(o.first, o.earliest) AS first, argMax(o.judged, o.judgement) AS judged,
        max(o.count) AS count, min(o.first_seen) AS first_seen, max(o.last_seen) AS last_seen,
        arraySort(groupUniqArray(o.sensor)) AS sensors
    FROM (
        SELECT
            f.id AS id, f.sensor AS sensor,
            min((f.first_seen, ifNull(f.packet_source, -1), ifNull(f.packet_number, -1), f.began, f.run)) AS earliest,
            argMin((f.kind, f.server, f.client, f.tool, f.rule, f.session, f.direction, f.place, f.sample,
                f.community_id, f.packet_source, f.packet_number),
                (f.first_seen, ifNull(f.packet_source, -1), ifNull(f.packet_number, -1), f.began, f.run)) AS first,
            max((f.began, f.run)) AS judgement,
            argMax((f.severity, f.severity_rank, f.title, f.confidence, f.refs, f.detail, f.server_id),
                (f.began, f.run)) AS judged,
            sum(f.count) AS count, min(f.first_seen) AS first_seen, max(f.last_seen) AS last_seen
        FROM findings_now AS f GROUP BY f.id, f.sensor
    ) AS o
    GROUP BY o.id
);

-- one row per definition of a tool; nth counts them in the order of first listing
CREATE OR REPLACE VIEW definitions_agg AS
SELECT
    g.server_id AS server_id, g.tool AS tool, g.sha256 AS sha256, g.first_seen AS first_seen, g.last_seen AS last_seen,
    row_number() OVER history AS nth, lagInFrame(toNullable(g.sha256)) OVER history AS before
FROM (
    SELECT
        s.id AS server_id, d.1 AS tool, d.2 AS sha256, min(d.3) AS first_seen, max(d.4) AS last_seen
    FROM servers_now AS s ARRAY JOIN s.definitions AS d GROUP BY s.id, d.1, d.2
) AS g
WINDOW history AS (
    PARTITION BY g.server_id, g.tool ORDER BY g.first_seen, g.sha256 ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
);

-- the decision about a finding that counts now
CREATE OR REPLACE VIEW decisions_now AS
SELECT
    finding, toNullable(newest.1) AS state, toNullable(newest.2) AS why, newest.3 AS at, newest.4 AS until
FROM (
    SELECT finding, argMax((state, why, at, until), (at, state)) AS newest FROM decisions_raw GROUP BY finding
)
WHERE newest.1 != 'open' AND (newest.4 IS NULL OR newest.4 > now64(9));

CREATE OR REPLACE VIEW captures AS
SELECT
    s.sources AS sources, s.first_seen AS first_seen, s.last_seen AS last_seen, s.packets AS packets, s.bytes AS bytes,
    s.flows AS flows, s.kernel_drops AS kernel_drops, s.queue_drops AS queue_drops,
    s.truncated_packets AS truncated_packets, s.undecodable_packets AS undecodable_packets, s.gap_bytes AS gap_bytes,
    s.evicted_flows AS evicted_flows, s.shed_events AS shed_events, s.encrypted_flows AS encrypted_flows,
    s.encrypted_bytes AS encrypted_bytes, s.one_sided_flows AS one_sided_flows, s.ech_hellos AS ech_hellos
FROM runs_raw AS s FINAL
LEFT JOIN begun_now AS b ON b.sensor = s.sensor AND b.run = s.run
WHERE s.began >= b.began;

CREATE OR REPLACE VIEW clients AS
SELECT
    first.1 AS client, first.2 AS client_name, first.3 AS client_version, first.4 AS user_agent,
    arrayMap(x -> x.2, arraySort(used)) AS servers, first_seen, last_seen, first.5 AS address_key,
    hasAny(arrayMap(x -> x.2, used), (SELECT groupUniqArray(server) FROM servers_agg WHERE approval IS NULL))
        AS unapproved
FROM (
    SELECT
        argMin((c.client, c.client_name, c.client_version, c.user_agent, c.address_key), (c.first_seen, c.run, c.sensor))
            AS first,
        groupUniqArrayArray(c.servers) AS used, min(c.first_seen) AS first_seen, max(c.last_seen) AS last_seen
    FROM clients_now AS c GROUP BY c.id
);

CREATE OR REPLACE VIEW drift AS
SELECT
    d.first_seen AS time, s.server AS server, d.server_id AS server_id, d.tool AS tool, d.before AS from_sha256,
    d.sha256 AS to_sha256, f.definition AS from_definition, t.definition AS to_definition,
    s.address_key AS address_key, s.port AS port_key, s.server_address AS server_address,
    s.server_hostname AS server_hostname, s.server_self_name AS server_self_name, s.unapproved AS unapproved
FROM (SELECT * FROM definitions_agg WHERE before IS NOT NULL) AS d
INNER JOIN servers_named AS s ON s.id = d.server_id
LEFT JOIN (SELECT toNullable(sha256) AS sha256, toNullable(definition) AS definition FROM documents_now) AS f
    ON f.sha256 = d.before
LEFT JOIN (SELECT sha256, toNullable(definition) AS definition FROM documents_now) AS t ON t.sha256 = d.sha256;

CREATE OR REPLACE VIEW findings AS
SELECT
    f.severity AS severity, f.kind AS kind, f.server AS server, f.client AS client, f.tool AS tool, f.title AS title,
    f.count AS count, f.confidence AS confidence, f.rule AS rule, f.server_id AS server_id, f.session AS session,
    f.direction AS direction, f.place AS "where", f.sample AS sample, f.first_seen AS first_seen,
    f.last_seen AS last_seen, f.community_id AS community_id, f.packet_source AS packet_source,
    f.packet_number AS packet_number, f.refs AS "references", f.detail AS detail, f.id AS id,
    if(d.state = 'closed' AND d.at < f.last_seen, 'open', coalesce(d.state, 'open')) AS state,
    if(d.state = 'closed' AND d.at < f.last_seen, NULL, d.why) AS state_why,
    if(d.state = 'closed' AND d.at < f.last_seen, NULL, d.until) AS state_until,
    f.severity_rank AS severity_rank, s.server_address AS server_address, s.server_hostname AS server_hostname,
    s.server_self_name AS server_self_name, s.unapproved AS unapproved
FROM findings_agg AS f
LEFT JOIN (SELECT * REPLACE (toNullable(id) AS id) FROM servers_named) AS s ON s.id = f.server_id
LEFT JOIN decisions_now AS d ON d.finding = f.id;

CREATE OR REPLACE VIEW lookups AS
SELECT
    what.1 AS name, what.2 AS type, what.3 AS signature, what.4 AS category, what.5 AS via, what.6 AS client,
    count, first_seen, last_seen, what.7 AS address_key
FROM (
    SELECT
        any(o.what) AS what, max(o.count) AS count, min(o.first_seen) AS first_seen, max(o.last_seen) AS last_seen
    FROM (
        SELECT
            l.id AS id, any((l.name, l.type, l.signature, l.category, l.via, l.client, l.address_key)) AS what,
            sum(l.count) AS count, min(l.first_seen) AS first_seen, max(l.last_seen) AS last_seen
        FROM lookups_now AS l GROUP BY l.id, l.sensor
    ) AS o
    GROUP BY o.id
);

CREATE OR REPLACE VIEW servers AS
SELECT
    s.approval IS NOT NULL AS approved, s.server AS server, s.hostname AS hostname, s.path AS path,
    s.server_name AS server_name, s.server_version AS server_version,
    if(empty(s.transports), NULL, arraySort(s.transports)[1].2) AS transport,
    coalesce(t.tools, 0) AS tools,
    transform(s.auth_rank, [0, 1, 2, 3, 4], ['none', 'other', 'basic', 'api-key', 'bearer'], NULL) AS auth,
    s.scope AS scope,
    transform(w.severity_rank, [0, 1, 2, 3, 4], ['critical', 'high', 'medium', 'low', 'info'], NULL) AS worst,
    coalesce(w.findings, 0) AS findings, s.id AS id, s.address AS address, s.port AS port,
    arrayMap(x -> x.2, arraySort(s.transports)) AS transports, s.encryption AS encryption, s.decrypted AS decrypted,
    multiIf(s.evidence_rank = 0, 'message', s.evidence_rank = 1, 'sni', 'dns') AS evidence,
    s.confidence AS confidence, s.instructions_sha256 AS instructions_sha256,
    arraySort(s.revisions) AS protocol_versions, s.resources AS resources, s.prompts AS prompts,
    s.approval AS approval, s.first_seen AS first_seen, s.last_seen AS last_seen, s.sessions AS sessions,
    arrayMap(x -> x.2, arraySort(s.clients)) AS clients, s.requests AS requests, s.responses AS responses,
    s.errors AS errors, s.notifications AS notifications, s.by_method AS by_method,
    s.address_key AS address_key, w.severity_rank AS severity_rank, s.approval IS NULL AS unapproved
FROM servers_agg AS s
LEFT JOIN (
    SELECT server_id, toNullable(min(severity_rank)) AS severity_rank, toNullable(count()) AS findings
    FROM findings_agg WHERE server_id IS NOT NULL GROUP BY server_id
) AS w ON w.server_id = s.id
LEFT JOIN (
    SELECT v.id AS id, toNullable(uniqExact(t.1)) AS tools FROM servers_now AS v ARRAY JOIN v.tools AS t GROUP BY v.id
) AS t ON t.id = s.id;

CREATE OR REPLACE VIEW sessions AS
SELECT
    e.id AS id, e.now.1 AS server, e.now.2 AS server_id, e.now.3 AS client, e.now.4 AS client_name,
    e.now.5 AS protocol_version, e.now.6 AS transport, e.messages AS messages, e.calls AS calls,
    e.first_seen AS first_seen, e.last_seen AS last_seen, e.now.7 AS address_key, e.now.8 AS port_key,
    s.server_address AS server_address, s.server_hostname AS server_hostname, s.server_self_name AS server_self_name,
    s.unapproved AS unapproved
FROM (
    SELECT
        o.id AS id, argMax(o.now, o.latest) AS now, argMax(o.now.2, o.latest) AS server_id, max(o.messages) AS messages,
        maxMap(o.calls) AS calls, min(o.first_seen) AS first_seen, max(o.last_seen) AS last_seen
    FROM (
        SELECT
            e.id AS id, max((e.last_seen, e.run, e.sensor)) AS latest,
            argMax((e.server, e.server_id, e.client, e.client_name, e.protocol_version, e.transport, e.address_key, e.port),
                (e.last_seen, e.run, e.sensor)) AS now,
            sum(e.messages) AS messages, sumMap(e.calls) AS calls, min(e.first_seen) AS first_seen,
            max(e.last_seen) AS last_seen
        FROM sessions_now AS e GROUP BY e.id, e.sensor
    ) AS o
    GROUP BY o.id
) AS e
LEFT JOIN servers_named AS s ON s.id = e.server_id;

CREATE OR REPLACE VIEW timeline AS
SELECT
    t.time AS time, t.event AS event, t.severity AS severity, t.kind AS kind, t.server AS server, t.client AS client,
    t.tool AS tool, t.about AS about, t.id AS id, t.severity_rank AS severity_rank, t.server_id AS server_id,
    s.server_address AS server_address, s.server_hostname AS server_hostname, s.server_self_name AS server_self_name,
    s.unapproved AS unapproved
FROM (
    SELECT
        first_seen AS time, 'finding' AS event, CAST(severity AS Nullable(String)) AS severity,
        CAST(kind AS Nullable(String)) AS kind, server, client, tool, CAST(title AS Nullable(String)) AS about,
        toNullable(id) AS id, toNullable(toInt64(severity_rank)) AS severity_rank, server_id
    FROM findings_agg
    UNION ALL
    SELECT
        first_seen, 'server-appeared', NULL, NULL, toNullable(server), NULL, NULL, server_name, toNullable(id), NULL,
        toNullable(id)
    FROM servers_agg
    UNION ALL
    SELECT
        d.first_seen, if(d.nth = 1, 'tool-appeared', 'tool-changed'), NULL, NULL, toNullable(v.server), NULL,
        toNullable(d.tool), toNullable(d.sha256), toNullable(d.server_id), NULL, toNullable(d.server_id)
    FROM definitions_agg AS d INNER JOIN servers_named AS v ON v.id = d.server_id
    UNION ALL
    SELECT
        first_seen, 'client-appeared', NULL, NULL, NULL, toNullable(client), NULL, client_name, NULL, NULL, NULL
    FROM clients
) AS t
LEFT JOIN (SELECT * REPLACE (toNullable(id) AS id) FROM servers_named) AS s ON s.id = t.server_id;

CREATE OR REPLACE VIEW tools AS
SELECT
    s.server AS server, t.server_id AS server_id, t.tool AS tool, t.now.1 AS sha256, t.now.2 AS description_sha256,
    t.now.3 AS gone, d.definitions AS definitions, d.first_seen AS first_seen, d.last_seen AS last_seen,
    x.definition AS definition, s.address_key AS address_key, s.port AS port_key, s.server_address AS server_address,
    s.server_hostname AS server_hostname, s.server_self_name AS server_self_name, s.unapproved AS unapproved
FROM (
    SELECT
        v.id AS server_id, t.1 AS tool, argMax((t.2, t.3, t.4), (t.5, v.run, v.sensor)) AS now,
        argMax(t.2, (t.5, v.run, v.sensor)) AS sha256
    FROM servers_now AS v ARRAY JOIN v.tools AS t GROUP BY v.id, t.1
) AS t
INNER JOIN servers_named AS s ON s.id = t.server_id
INNER JOIN (
    SELECT
        g.server_id AS server_id, g.tool AS tool, count() AS definitions, min(g.first_seen) AS first_seen,
        max(g.last_seen) AS last_seen
    FROM definitions_agg AS g GROUP BY g.server_id, g.tool
) AS d ON d.server_id = t.server_id AND d.tool = t.tool
LEFT JOIN (SELECT sha256, toNullable(definition) AS definition FROM documents_now) AS x ON x.sha256 = t.sha256;

-- the server of a site, as it was joined last
CREATE OR REPLACE VIEW sites_now AS
SELECT g.site AS site, toNullable(argMax(g.id, (g.last_seen, g.began, g.run))) AS server_id
FROM (SELECT arrayJoin(s.sites) AS site, s.id AS id, s.last_seen AS last_seen, s.began AS began, s.run AS run FROM servers_now AS s)
    AS g
GROUP BY g.site;

-- what messages sum up to by the hour: reports never read messages to tell it
CREATE MATERIALIZED VIEW IF NOT EXISTS usage_feed{on} TO usage_raw{local} AS
SELECT
    toStartOfHour(toDateTime(m.time, 'UTC')) AS hour, m.site AS site, m.client AS client, ifNull(m.method, '') AS method,
    ifNull(m.target, '') AS target, m.sensor AS sensor, m.run AS run, m.began AS began, max(m.sealed) AS sealed,
    anyLast(m.server_id) AS server_id, count() AS messages, countIf(m.kind = 'request') AS requests,
    countIf(m.failed) AS failed, sum(toUInt64(m.bytes)) AS bytes, count(m.latency_us) AS answers,
    sum(toUInt64(ifNull(m.latency_us, 0))) AS latency_us, max(toUInt64(ifNull(m.latency_us, 0))) AS latency_max_us
FROM messages_raw{local} AS m GROUP BY hour, site, client, method, target, sensor, run, began;

-- Names are looked up instead of joined: so the newest messages are read alone, in the order of the table.
CREATE OR REPLACE VIEW messages AS
WITH
    (SELECT (groupArray(site), groupArray(assumeNotNull(server_id))) FROM sites_now) AS sites,
    (
        SELECT (groupArray(id), groupArray(assumeNotNull(server_address)), groupArray(ifNull(server_hostname, '')),
            groupArray(ifNull(server_self_name, '')), groupArray(toInt8(assumeNotNull(unapproved))))
        FROM servers_named
    ) AS names
SELECT
    m.time AS time, m.client AS client, m.server AS server, m.direction AS direction, m.kind AS kind, m.method AS method,
    m.target AS target, m.failed AS failed, m.latency_us AS latency_us, m.http_status AS http_status,
    m.error_code AS error_code, m.bytes AS bytes, lower(leftPad(hex(m.session), 16, '0')) AS session,
    m.revision AS protocol_version, transform(toString(m.site), sites.1, sites.2, toString(m.server_id)) AS server_id,
    m.client_port AS client_port, m.community_id AS community_id, lower(leftPad(hex(m.rpc_id), 16, '0')) AS rpc_id,
    lower(leftPad(hex(m.flow), 16, '0')) AS flow, m.number AS number,
    nullIf(transform(server_id, names.1, names.2, ''), '') AS server_address,
    nullIf(transform(server_id, names.1, names.3, ''), '') AS server_hostname,
    nullIf(transform(server_id, names.1, names.4, ''), '') AS server_self_name,
    nullIf(transform(server_id, names.1, names.5, toInt8(-1)), -1) AS unapproved
FROM messages_raw AS m
WHERE (m.sensor, m.run, m.began) IN (SELECT sensor, run, began FROM begun_now);

CREATE OR REPLACE VIEW usage AS
SELECT
    u.hour AS time, u.client AS client, s.server AS server, nullIf(u.method, '') AS method, nullIf(u.target, '') AS target,
    u.sums.1 AS messages, u.sums.2 AS requests, u.sums.3 AS failed, u.sums.4 AS bytes,
    if(u.sums.5 > 0, intDiv(u.sums.6, u.sums.5), NULL) AS latency_us, if(u.sums.5 > 0, u.sums.7, NULL) AS latency_max_us,
    u.server_id AS server_id, s.address_key AS address_key, s.port AS port_key, s.server_address AS server_address,
    s.server_hostname AS server_hostname, s.server_self_name AS server_self_name, s.unapproved AS unapproved
FROM (
    SELECT
        g.hour AS hour, g.client AS client, g.server_id AS server_id, g.method AS method, g.target AS target,
        max((g.messages, g.requests, g.failed, g.bytes, g.answers, g.latency_us, g.latency_max_us)) AS sums
    FROM (
        SELECT
            r.hour AS hour, r.client AS client, coalesce(i.server_id, r.server_id) AS server_id, r.method AS method,
            r.target AS target, r.sensor AS sensor, sum(r.messages) AS messages, sum(r.requests) AS requests,
            sum(r.failed) AS failed, sum(r.bytes) AS bytes, sum(r.answers) AS answers, sum(r.latency_us) AS latency_us,
            max(r.latency_max_us) AS latency_max_us
        FROM usage_raw AS r
        LEFT JOIN sites_now AS i ON i.site = r.site
        WHERE (r.sensor, r.run, r.began) IN (SELECT sensor, run, began FROM begun_now)
        GROUP BY hour, client, server_id, method, target, sensor
    ) AS g
    GROUP BY g.hour, g.client, g.server_id, g.method, g.target
) AS u
LEFT JOIN (
    SELECT id, toNullable(server) AS server, toNullable(address_key) AS address_key, toNullable(port) AS port,
        server_address, server_hostname, server_self_name, unapproved
    FROM servers_named
) AS s ON s.id = u.server_id;
