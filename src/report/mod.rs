//! Answers → people: the report of a replay, and the rows of a store, in every format.
//!
//! Everything here is a pure function of a view or of rows. No database, no clock, no terminal: width and colour are
//! given. Text from traffic leaves through [`display`] alone.

pub mod change;
pub mod csv;
pub mod display;
pub mod document;
pub mod drift;
mod entry;
pub mod grid;
pub mod html;
pub mod impact;
pub mod ndjson;
pub mod object;
pub mod owners;
pub mod rows;
pub mod story;
pub mod table;
pub mod weekly;
