//! Style, script and sign: compiled in, named by their hash, so that browsers may keep them.

use std::sync::LazyLock;

use axum::http::header;

use crate::report::html::STYLE;
use crate::web::reply::Reply;
use crate::web::tokens::hash;

const SCRIPT: &str = include_str!("../report/html/templates/page.js");
const SIGN: &str = include_str!("../report/html/templates/sign.svg");

/// Addresses of style and script.
pub(crate) static STYLE_ADDRESS: LazyLock<String> = LazyLock::new(|| address("/style.css", STYLE));
pub(crate) static SCRIPT_ADDRESS: LazyLock<String> = LazyLock::new(|| address("/page.js", SCRIPT));

fn address(path: &str, text: &str) -> String {
    format!("{path}?v={}", hash(text).get(..12).unwrap_or_default())
}

/// What stands at a path, if it is one of these.
pub(crate) fn asset(path: &str) -> Option<Reply> {
    let (kind, text) = match path {
        "/style.css" => ("text/css; charset=utf-8", STYLE),
        "/page.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/sign.svg" => ("image/svg+xml", SIGN),
        _ => return None,
    };
    Some(Reply::new(kind, text).with(header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
}
