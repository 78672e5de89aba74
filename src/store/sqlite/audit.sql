-- Schema 4: what people and programs did to the store and around it. Rows are added and never changed.
CREATE TABLE audit_raw (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,                    -- by the clock on the wall
    who TEXT NOT NULL,
    what TEXT NOT NULL,                     -- ack, close, mute, reopen, approve, pin, purge, ...
    about TEXT NOT NULL                     -- of what, and why
) STRICT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit_raw
BEGIN SELECT raise(ABORT, 'the audit log is only added to'); END;

CREATE TRIGGER audit_is_not_forgotten BEFORE DELETE ON audit_raw
BEGIN SELECT raise(ABORT, 'the audit log is only added to'); END;

CREATE VIEW audit AS SELECT at AS time, who, what, about FROM audit_raw;
