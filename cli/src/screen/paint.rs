//! What a stream shows: colour is a hint for eyes, never the only carrier of a meaning, and only where a terminal shows
//! it; letters beyond ASCII reach a terminal only where its locale says that it knows them.

use std::borrow::Cow;

/// What a text is, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is.
    Plain,
    /// A column's name.
    Heading,
    /// Less important.
    Faint,
    /// Fine.
    Good,
    /// To be looked at.
    Warning,
    /// Wrong.
    Bad,
}

/// How one of the two streams is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    colour: bool,
    unicode: bool,
}

impl Paint {
    /// No colour.
    #[cfg(test)]
    pub(crate) const OFF: Self = Self { colour: false, unicode: true };

    /// Colour.
    #[cfg(test)]
    pub(crate) const ON: Self = Self { colour: true, unicode: true };

    /// A terminal of old.
    #[cfg(test)]
    pub(crate) const ASCII: Self = Self { colour: false, unicode: false };

    /// Colour on a terminal, unless `NO_COLOR` holds anything or `TERM` is `dumb`. All letters, unless it is a terminal
    /// whose locale does not know them; a file or a pipe gets what there is.
    pub(crate) fn choose(
        terminal: bool,
        no_color: Option<&str>,
        term: Option<&str>,
        locale: Option<&str>,
    ) -> Self {
        Self {
            colour: terminal && no_color.is_none_or(str::is_empty) && term != Some("dumb"),
            unicode: !terminal || locale.is_some_and(is_utf8),
        }
    }

    /// `text` in its colour. The text must be safe to print already.
    pub(crate) fn style(self, text: &str, style: Style) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Heading => "1",
            Style::Faint => "2",
            Style::Good => "32",
            Style::Warning => "33",
            Style::Bad => "1;31",
        };
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// `text` in letters that can be shown: others come out as `...` or `\u{e9}`.
    pub(crate) fn letters(self, text: &str) -> Cow<'_, str> {
        if self.unicode || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len() + 8);
        for c in text.chars() {
            match c {
                '…' => out.push_str("..."),
                c if c.is_ascii() => out.push(c),
                c => out.extend(c.escape_unicode()),
            }
        }
        Cow::Owned(out)
    }
}

/// Whether `LC_ALL`, `LC_CTYPE` or `LANG` names UTF-8, as in `de_DE.UTF-8` or `C.utf8`.
fn is_utf8(locale: &str) -> bool {
    let set = locale.split_once('.').map_or(locale, |(_, set)| set).to_ascii_lowercase();
    matches!(set.split('@').next(), Some("utf-8" | "utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_needs_a_terminal_that_wants_it() {
        for (terminal, no_color, term, want) in [
            (true, None, Some("xterm"), true),
            (true, None, None, true),
            (true, Some(""), Some("xterm"), true),
            (true, Some("1"), Some("xterm"), false),
            (true, None, Some("dumb"), false),
            (false, None, Some("xterm"), false),
        ] {
            let paint = Paint::choose(terminal, no_color, term, Some("C.UTF-8"));
            assert_eq!(paint.colour, want, "{terminal} {no_color:?} {term:?}");
        }
        assert_eq!(Paint::ON.style("x", Style::Bad), "\x1b[1;31mx\x1b[0m");
        assert_eq!(Paint::OFF.style("x", Style::Bad), "x");
    }

    #[test]
    fn letters_beyond_ascii_need_a_locale_that_knows_them_or_no_terminal() {
        for (terminal, locale, want) in [
            (true, Some("de_DE.UTF-8"), "é…"),
            (true, Some("C.utf8"), "é…"),
            (true, Some("de_DE.UTF-8@euro"), "é…"),
            (true, Some("C"), "\\u{e9}..."),
            (true, Some("de_DE.ISO-8859-1"), "\\u{e9}..."),
            (true, None, "\\u{e9}..."),
            (false, None, "é…"),
        ] {
            let paint = Paint::choose(terminal, None, None, locale);
            assert_eq!(paint.letters("é…"), want, "{terminal} {locale:?}");
        }
        assert_eq!(Paint::ASCII.letters("\x1b[1mplain\x1b[0m\n"), "\x1b[1mplain\x1b[0m\n");
    }
}
