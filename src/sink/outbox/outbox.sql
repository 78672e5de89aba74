-- Schema 1 of an outbox: what a sink that is far away was not given yet.
--
-- Rows are encoded once and lie here as parts until the batch that they became is delivered. Times are nanoseconds since
-- 1970-01-01T00:00:00Z, by the clock on the wall.

-- batches that were begun, in the order in which they go; AUTOINCREMENT: no number comes twice
CREATE TABLE batches (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL,                    -- the same in every try
    sealed INTEGER NOT NULL,
    class INTEGER NOT NULL                  -- 0 is worth least
) STRICT;

CREATE TABLE parts (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    class INTEGER NOT NULL,
    batch INTEGER,                          -- null until it is in a batch
    at INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    size INTEGER NOT NULL,                  -- bytes of the next
    bytes BLOB NOT NULL
) STRICT;
CREATE INDEX parts_by_class ON parts (batch, class, seq, at, rows, size);

-- batches that the sink will never take, kept for people
CREATE TABLE dead (
    seq INTEGER NOT NULL PRIMARY KEY,       -- of the part
    token TEXT NOT NULL, class INTEGER NOT NULL, at INTEGER NOT NULL, why TEXT NOT NULL,
    rows INTEGER NOT NULL, size INTEGER NOT NULL, bytes BLOB NOT NULL
) STRICT;
