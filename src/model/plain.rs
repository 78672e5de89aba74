//! Text from traffic without what could steer, reorder or hide: the part of the one door (`report::display`) that sinks
//! need, too, and that stands here because sinks know no reports.

use std::borrow::Cow;
use std::fmt::Write as _;

/// One line without control, bidirectional or invisible characters, at most `max_chars` long.
pub fn plain(text: &str, max_chars: usize) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return cap(Cow::Borrowed(text), max_chars);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (nth, char) in text.chars().enumerate() {
        // Every character writes at least one: the rest would be cut off anyway.
        if nth > max_chars {
            break;
        }
        match char {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if is_hostile(char) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    cap(Cow::Owned(out), max_chars)
}

/// Whether a character steers, reorders or hides: nothing that a person could see is lost when it is written out.
pub const fn is_hostile(char: char) -> bool {
    matches!(char,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'            // C0, DEL, C1
        | '\u{61c}' | '\u{200e}' | '\u{200f}'            // directional marks
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
        | '\u{2028}' | '\u{2029}'                        // line and paragraph separators
        | '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}'                      // musical controls
        | '\u{e0000}'..='\u{e0fff}') // tags, variation selectors
}

fn cap(text: Cow<'_, str>, max_chars: usize) -> Cow<'_, str> {
    if text.len() <= max_chars || text.chars().count() <= max_chars {
        return text;
    }
    let keep = max_chars.saturating_sub(1);
    let end = text.char_indices().nth(keep).map_or(text.len(), |(at, _)| at);
    Cow::Owned(format!("{}…", &text[..end]))
}
