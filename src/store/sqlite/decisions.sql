-- Schema 2: what people decided about findings. Rows are only ever added: the newest counts, the others are the audit.
CREATE TABLE decisions_raw (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    finding TEXT NOT NULL,                  -- id of the finding, the same in every run
    state TEXT NOT NULL,                    -- acknowledged, closed, muted; open takes back what was said before
    why TEXT NOT NULL,
    who TEXT NOT NULL,
    at INTEGER NOT NULL,                    -- by the clock on the wall, as is the next
    until INTEGER                           -- the first moment at which it counts no longer
) STRICT;
CREATE INDEX decisions_by_finding ON decisions_raw (finding, seq);

-- the decision that counts now
CREATE VIEW decisions_now AS
SELECT d.finding, d.state, d.why, d.at, d.until FROM decisions_raw AS d
WHERE d.seq = (SELECT max(seq) FROM decisions_raw AS other WHERE other.finding = d.finding)
    AND d.state <> 'open' AND (d.until IS NULL OR d.until > unixepoch() * 1000000000);

-- a finding that was closed and is seen again is open
DROP VIEW findings;
CREATE VIEW findings AS
SELECT
    f.severity, f.kind, f.server, f.client, f.tool, f.title, f.count, f.confidence, f.rule, f.server_id, f.session,
    f.direction, f.place AS "where", f.sample, f.first_seen, f.last_seen, f.community_id, f.packet_source,
    f.packet_number, f.refs AS "references", f.detail, f.id, coalesce(d.state, 'open') AS state, d.why AS state_why,
    d.until AS state_until, f.severity_rank, s.address AS server_address, s.hostname AS server_hostname,
    s.server_name AS server_self_name, CASE WHEN s.id IS NOT NULL THEN s.approval IS NULL END AS unapproved
FROM findings_agg AS f
LEFT JOIN servers_agg AS s ON s.id = f.server_id
LEFT JOIN decisions_now AS d ON d.finding = f.id AND (d.state <> 'closed' OR d.at >= f.last_seen);
