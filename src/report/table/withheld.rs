//! What the policy held back, in one line.

use std::fmt::Write as _;

use crate::model::server::View;
use crate::report::grid::thousands;

/// What the policy held back: nobody should believe that it was not there.
pub(super) fn write(out: &mut String, view: &View) {
    let withheld = &view.withheld;
    let told = [
        (withheld.ignored_clients, "ignored clients"),
        (withheld.ignored, "findings about them"),
        (withheld.suppressed, "suppressed findings"),
        (withheld.folded, "findings told in one"),
    ];
    let told: Vec<String> = told
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", thousands(number)))
        .collect();
    if !told.is_empty() {
        let _ = writeln!(out, "\nHeld back by the policy: {}", told.join(", "));
    }
}
