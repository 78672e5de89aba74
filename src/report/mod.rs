//! Answers → people: the report of a replay, and the rows of a store, in every format.
//!
//! Everything here is a pure function of a view or of rows. No database, no clock, no terminal: width and colour are
//! given. Text from traffic leaves through [`display`] alone.

pub mod csv;
pub mod display;
pub mod grid;
pub mod html;
pub mod ndjson;
pub mod object;
pub mod rows;
pub mod table;
