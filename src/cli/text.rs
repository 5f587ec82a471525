//! Makes text from elsewhere safe for a terminal: what could move its cursor, hide or reorder its letters is shown as an escape.

use std::fmt::Write as _;

/// The text with every unsafe character as `\n`, `\t` or `\u{…}`.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if is_unsafe(c) => {
                    write!(out, "\\u{{{:x}}}", u32::from(c)).expect("a String takes all");
                }
                c => out.push(c),
            }
            out
        })
}

/// The same for a JSON document, whose strings alone can hold what its writer leaves unescaped.
pub(crate) fn escape_json(json: &str) -> String {
    json.chars()
        .fold(String::with_capacity(json.len()), |mut out, c| {
            if c.is_ascii_control() && c != '\u{7f}' || !is_unsafe(c) {
                out.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("a String takes all");
                }
            }
            out
        })
}

/// Control characters, and the invisible ones that break lines, reorder or join what is around them.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unsafe_reaches_a_table() {
        for (text, shown) in [
            ("orders – Zürich 東京", "orders – Zürich 東京"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}nimda", "\\u{202e}nimda"),
            ("del\u{7f}", "del\\u{7f}"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn escaped_json_reads_back_as_it_was() {
        let text = "a\u{1b}\u{9b}\u{202e}\u{e0041}\u{7f}\n\"ü";
        let json = serde_json::to_string_pretty(&serde_json::json!({ "name": text })).unwrap();
        let safe = escape_json(&json);
        assert!(safe.chars().all(|c| c == '\n' || !is_unsafe(c)), "{safe}");
        let back: serde_json::Value = serde_json::from_str(&safe).unwrap();
        assert_eq!(back["name"], text);
    }
}
