//! Questions that only a person may answer.

use std::io::{self, BufRead as _};

use engine::failure::{Class, Failure};

use super::Screen;

/// What came back.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
}

impl Screen {
    /// Whether somebody is there to ask.
    pub(crate) fn can_ask(&self) -> bool {
        self.around.terminals[0] && self.around.terminals[2]
    }

    /// Goes on only after a clear yes; `deed` is what would be done, `yes` the flag that answers beforehand.
    pub(crate) fn confirm(&self, question: &str, deed: &str, yes: bool) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if !self.can_ask() {
            return Err(Failure::new(Class::Unsafe, format!("{deed}: nobody is at a terminal to agree"))
                .hint("add `--yes` to agree beforehand, or `--dry-run` to see the plan only"));
        }
        self.show(&format!("{question} [y/N] "));
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(|e| Failure::failed("read the answer").because(e))?;
        if !line.ends_with('\n') {
            // Ctrl-D answers without ending the line, and what follows would stand behind the question.
            self.show("\n");
        }
        match parse(&line) {
            Answer::Yes => Ok(()),
            Answer::No => {
                Err(Failure::new(Class::Unsafe, format!("{deed}: not agreed to; nothing was changed")))
            }
        }
    }
}

fn parse(line: &str) -> Answer {
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Answer::Yes,
        _ => Answer::No,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::adapter::clock::SystemClock;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::screen::width::Width;
    use crate::screen::{Manners, Surroundings};

    fn screen(terminals: [bool; 3]) -> Screen {
        let around = Surroundings {
            terminals,
            width: Width::Told(80),
            no_color: None,
            term: None,
            locale: None,
            zone: TimeZone::UTC,
        };
        Screen::new(around, Manners::default(), Arc::new(SystemClock::start()))
    }

    #[test]
    fn without_a_terminal_only_a_flag_agrees() {
        for terminals in [[false; 3], [true, true, false], [false, true, true]] {
            let screen = screen(terminals);
            let refused = screen.confirm("Sure?", "restore `db`", false).unwrap_err();
            assert_eq!(refused.class, Class::Unsafe);
            assert_eq!(refused.to_string(), "restore `db`: nobody is at a terminal to agree");
            assert_eq!(refused.class.exit_code(), 13);
            assert!(refused.hint.is_some_and(|hint| hint.contains("--yes")));
            assert!(screen.confirm("Sure?", "restore `db`", true).is_ok());
        }
    }

    #[test]
    fn only_a_clear_yes_is_one() {
        for line in ["y\n", "Y\n", " yes \n", "YES"] {
            assert_eq!(parse(line), Answer::Yes, "{line:?}");
        }
        for line in ["", "\n", "n\n", "ye\n", "yess\n", "1\n"] {
            assert_eq!(parse(line), Answer::No, "{line:?}");
        }
    }
}
