//! Text made to fit a terminal: sentences go on in a next line, what is drawn again and again is cut.
//!
//! Always true: a line breaks between words, and never within what stands between backticks, so that a command which is
//! copied from a terminal is whole. A piece that is longer than the terminal stays in one, and the terminal breaks it.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::paint::Paint;

/// Where the text of a plan's line begins: behind `  taken     `.
const LABEL: usize = 12;

/// How far the lines are moved in with which any other line goes on.
const INDENT: usize = 2;

/// Every line of `text` in at most `width` columns, where it can be.
pub(crate) fn folded(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        if columns(line) <= width {
            out.push_str(line);
        } else {
            let (lead, rest) = line.split_at(lead(line, width));
            let indent = if lead.is_empty() { INDENT } else { columns(lead) };
            let room = width.saturating_sub(columns(lead));
            let lines = broken(rest, room, width.saturating_sub(indent));
            out.push_str(lead);
            out.push_str(&lines.join(&format!("\n{}", " ".repeat(indent))));
        }
        out.push_str(end);
    }
    out
}

/// How many bytes of a line are the label of a plan's line, which stands alone to the left. Where the terminal has no
/// room beside it, it is a word like others.
fn lead(line: &str, width: usize) -> usize {
    let is_label = line.len() > LABEL
        && line.is_char_boundary(LABEL)
        && line.starts_with("  ")
        && line.as_bytes()[INDENT] != b' '
        && line.as_bytes()[LABEL - 1] == b' ';
    if is_label && width >= 2 * LABEL { LABEL } else { 0 }
}

/// The lines of a text of one line, the first in `first` columns, others in `next`.
pub(super) fn broken(text: &str, first: usize, next: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut used, mut room) = (0, first);
    for piece in pieces(text) {
        let wide = columns(piece.trim_end_matches(' '));
        if used > 0 && used + wide > room {
            lines.push(String::new());
            (used, room) = (0, next);
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(piece);
        }
        used += columns(piece);
    }
    let last = lines.len() - 1;
    // A question ends with a space, behind which the answer is typed.
    lines[..last].iter_mut().for_each(|line| line.truncate(line.trim_end_matches(' ').len()));
    lines
}

/// What a line may break between, each with the spaces behind it.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let (mut from, mut quoted, mut spaced) = (0, false, false);
    for (at, c) in text.char_indices() {
        if spaced && c != ' ' {
            all.push(&text[from..at]);
            (from, spaced) = (at, false);
        }
        match c {
            // One that is never closed is a character like others.
            '`' => quoted = !quoted && text[at + 1..].contains('`'),
            // Spaces at the beginning belong to what follows.
            ' ' => spaced = !quoted && !text[from..at].trim_start_matches(' ').is_empty(),
            _ => {}
        }
    }
    all.extend(Some(&text[from..]).filter(|rest| !rest.is_empty()));
    all
}

/// The columns that a text takes, colours not counted.
pub(super) fn columns(text: &str) -> usize {
    if !text.contains('\x1b') {
        return text.width();
    }
    let mut parts = text.split("\x1b[");
    let plain = parts.next().map_or(0, |text| text.width());
    plain + parts.map(|part| part.split_once('m').map_or(part, |(_, text)| text).width()).sum::<usize>()
}

/// `text` in at most `width` columns, its end replaced where it is longer.
pub(super) fn cut(text: &str, width: usize, paint: Paint) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let end = paint.letters("…");
    let mut out = String::new();
    let mut used = end.width();
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    out + &end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::paint::Style;

    #[test]
    fn a_sentence_goes_on_between_words_and_never_within_a_command() {
        for (width, want) in [
            (80, "next: look, then `backupctl backup db`, so that all is well\n"),
            (40, "next: look, then `backupctl backup db`,\n  so that all is well\n"),
            (30, "next: look, then\n  `backupctl backup db`, so\n  that all is well\n"),
            (12, "next: look,\n  then\n  `backupctl backup db`,\n  so that\n  all is\n  well\n"),
        ] {
            let text = "next: look, then `backupctl backup db`, so that all is well\n";
            assert_eq!(folded(text, width), want, "{width}");
        }
    }

    #[test]
    fn a_line_of_a_plan_goes_on_under_its_text() {
        let plan =
            "restore db@1 into db\n  taken     2026-11-20 (21 h ago), idle, not proven\n  stops     db\n";
        let want = "restore db@1 into db\n  taken     2026-11-20 (21 h ago),\n            idle, not proven\n  stops     db\n";
        assert_eq!(folded(plan, 36), want);
        assert!(folded(plan, 20).contains("\n  taken\n"), "{}", folded(plan, 20));
    }

    #[test]
    fn what_is_no_sentence_stays_as_it_is() {
        assert_eq!(
            folded("Replace it? [y/N] ", 12),
            "Replace it?\n  [y/N] ",
            "a question waits behind a space"
        );
        assert_eq!(folded("a` b c\n", 3), "a`\n  b\n  c\n", "a mark that is never closed");
        assert_eq!(folded("", 1), "");
        assert_eq!(folded("\n\n", 1), "\n\n");
        let painted = format!("{} two three\n", Paint::ON.style("one", Style::Bad));
        assert_eq!(folded(&painted, 13), painted, "colour does not count as width");
        assert_eq!(folded(&painted, 9), painted.replace(" three", "\n  three"));
    }

    #[test]
    fn a_wide_character_is_never_cut_in_two() {
        let paint = Paint::OFF;
        assert_eq!(cut("漢字漢字", 8, paint), "漢字漢字");
        assert_eq!(cut("漢字漢字", 6, paint), "漢字…");
        assert_eq!(cut("漢字漢字", 5, paint), "漢字…");
        assert_eq!(cut("漢字漢字", 4, paint), "漢…");
        assert_eq!(cut("abcdefgh", 6, Paint::ASCII), "abc...");
    }
}
