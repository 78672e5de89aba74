//! ClickHouse: the same answers as the other stores, and nothing lost or doubled whatever the server does.
//!
//! The engine is the real one. `SHADOWTAP_TEST_CLICKHOUSE=http://HOST:8123` names a server to use for the answers; else
//! `clickhouse-front.py` puts the engine of the Python package `chdb` behind HTTP, from `target/venv` (`.ci/venv` makes
//! it) or a Python that `SHADOWTAP_TEST_PYTHON` names.

#[path = "clickhouse/answers.rs"]
mod answers;
#[path = "clickhouse/engine.rs"]
mod engine;
#[path = "clickhouse/faults.rs"]
mod faults;
#[path = "clickhouse/sensors.rs"]
mod sensors;
