//! Text that came from elsewhere, made safe to print: volume names, labels, file names, error bodies.
//!
//! Nothing that leaves through this module can move a cursor, colour, rename or clear a terminal, break a
//! line that a script reads, or reorder what a person sees.

use std::borrow::Cow;

/// One line: everything that could steer a terminal comes out as `\n` or `\u{1b}`.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if steers(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// JSON as `serde_json` wrote it, with what it leaves raw and a terminal would act on escaped as well.
/// Such characters stand only inside strings, so the value stays the same.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| (b' '..0x7f).contains(&b)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            let mut units = [0; 2];
            out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Control characters, line and paragraph separators, marks that change the direction of reading.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        for (text, want) in [
            ("plain é 漢", "plain é 漢"),
            ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("title\u{9d}x\u{9c}", "title\\u{9d}x\\u{9c}"),
            ("gpj\u{202e}exe", "gpj\\u{202e}exe"),
            ("already \\x1b", "already \\x1b"),
        ] {
            assert_eq!(line(text), want);
        }
    }

    #[test]
    fn json_means_the_same_and_holds_no_raw_control_character() {
        let value = serde_json::json!({"path": "a\u{1b}\u{9b}31m\u{202e}\u{7f}\n é"});
        let raw = value.to_string();
        let text = json(&raw);
        assert!(!text.chars().any(steers), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
