//! Colour: a hint for eyes, never the only carrier of a meaning, and only where a terminal shows it.

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

/// Whether there is colour on one of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint(bool);

impl Paint {
    /// No colour.
    #[cfg(test)]
    pub(crate) const OFF: Self = Self(false);

    /// Colour.
    #[cfg(test)]
    pub(crate) const ON: Self = Self(true);

    /// Colour on a terminal, unless `NO_COLOR` holds anything or `TERM` is `dumb`.
    pub(crate) fn choose(terminal: bool, no_color: Option<&str>, term: Option<&str>) -> Self {
        Self(terminal && no_color.is_none_or(str::is_empty) && term != Some("dumb"))
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
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_needs_a_terminal_that_wants_it() {
        for (terminal, no_color, term, want) in [
            (true, None, Some("xterm"), Paint::ON),
            (true, None, None, Paint::ON),
            (true, Some(""), Some("xterm"), Paint::ON),
            (true, Some("1"), Some("xterm"), Paint::OFF),
            (true, None, Some("dumb"), Paint::OFF),
            (false, None, Some("xterm"), Paint::OFF),
        ] {
            assert_eq!(Paint::choose(terminal, no_color, term), want, "{terminal} {no_color:?} {term:?}");
        }
        assert_eq!(Paint::ON.style("x", Style::Bad), "\x1b[1;31mx\x1b[0m");
        assert_eq!(Paint::OFF.style("x", Style::Bad), "x");
    }
}
