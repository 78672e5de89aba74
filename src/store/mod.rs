//! Events in, answers out: one vocabulary for memory, SQLite and, in production, ClickHouse.
