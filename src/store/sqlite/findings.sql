-- Schema 3: servers in time that grows with their number and not with its square. What a window function gives has no affinity,
-- and no index on it is made for a join with a text unless it is cast.
DROP VIEW findings_agg;
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
        CAST(first_value(f.server_id) OVER judged AS TEXT) AS server_id,
        sum(f.count) OVER every AS count, min(f.first_seen) OVER every AS first_seen, max(f.last_seen) OVER every AS last_seen
    FROM findings_raw AS f JOIN runs_raw AS r USING (run)
    WINDOW every AS (PARTITION BY f.id), judged AS (PARTITION BY f.id ORDER BY r.seq DESC)
) WHERE nth = 1;
