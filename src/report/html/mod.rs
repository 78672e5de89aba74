//! Rows → HTML: what the web page and the report in one file are made of.
//!
//! Tables, charts and differences are small templates over typed cells; every text passes [`parts::Shown`], and the
//! templates escape. Pure: no clock, no store, no address but those that [`doors::Doors`] makes.

pub mod advice;
pub mod chart;
pub mod difference;
pub mod digest;
pub mod doors;
pub mod file;
pub mod graph;
pub mod parts;
pub mod words;

/// The one style sheet.
pub const STYLE: &str = include_str!("templates/style.css");
