//! Lists that are printed while they are found: lines for people, one JSON array for scripts, in constant
//! memory however long they are.
//!
//! Always true: a list that was cut off by a failure is not closed with `]`, so no reader takes it for whole.

use std::io::{self, BufWriter, Stdout, Write as _};

use engine::failure::Failure;
use serde_json::Value;

use super::{Screen, plain};

/// One list on stdout.
pub(crate) struct Listing<'a> {
    screen: &'a Screen,
    out: BufWriter<Stdout>,
    printed: u64,
}

impl<'a> Listing<'a> {
    /// Prints nothing yet.
    pub(crate) fn new(screen: &'a Screen) -> Self {
        Self { screen, out: BufWriter::with_capacity(64 << 10, io::stdout()), printed: 0 }
    }

    /// Prints one, as the line of `text` or as the value of `json`.
    pub(crate) fn item(
        &mut self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        self.screen.give_stdout_away();
        let line = if self.screen.is_json() {
            let comma = if self.printed == 0 { "[" } else { ",\n" };
            format!("{comma}{}", plain::json(&json().to_string()))
        } else {
            format!("{}\n", self.screen.paint().letters(&text()))
        };
        self.printed += 1;
        let mut written = self.out.write_all(line.as_bytes());
        if self.screen.stdout_is_terminal() {
            // Somebody watches, and the next match may be far away.
            written = written.and_then(|()| self.out.flush());
        }
        self.screen.noted(written)
    }

    /// Ends the list; only after all of it was found.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        let close = match (self.screen.is_json(), self.printed) {
            (false, _) => "",
            (true, 0) => "[]\n",
            (true, _) => "]\n",
        };
        let written = self.out.write_all(close.as_bytes()).and_then(|()| self.out.flush());
        self.screen.noted(written).map_err(|e| Failure::failed("write to stdout").because(e))
    }
}
