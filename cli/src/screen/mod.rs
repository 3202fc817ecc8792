//! The only code of this program that prints.
//!
//! Results go to stdout, everything else to stderr. What came from elsewhere is made safe by [`plain`]
//! before it is printed; colour and making it [`fit`] a width happen on a terminal only. With `--json`, long
//! commands print events and lists print one array; `docs/json.md` is the contract.

pub(crate) mod asking;
pub(crate) mod fit;
pub(crate) mod listing;
pub(crate) mod paint;
pub(crate) mod plain;
pub(crate) mod progress;
pub(crate) mod proposing;
pub(crate) mod rate;
pub(crate) mod table;
pub(crate) mod telling;
pub(crate) mod width;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::failure::Failure;
use engine::port::clock::Clock;
pub(crate) use engine::units;
use engine::usecase::watch::Cancel;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};

use paint::{Paint, Style};
use progress::{Manner, Teller};
use telling::Telling;
use width::Width;

/// What the program found around itself when it started; read once, in `main`.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// stdin, stdout and stderr are terminals.
    pub(crate) terminals: [bool; 3],
    /// Columns of the terminal, where there is one.
    pub(crate) width: Width,
    /// `NO_COLOR`.
    pub(crate) no_color: Option<String>,
    /// `TERM`.
    pub(crate) term: Option<String>,
    /// The first of `LC_ALL`, `LC_CTYPE` and `LANG` that says anything.
    pub(crate) locale: Option<String>,
    /// The local zone.
    pub(crate) zone: TimeZone,
}

/// How much is said.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manners {
    /// Machines read.
    pub(crate) json: bool,
    /// Warnings and errors only.
    pub(crate) quiet: bool,
}

/// Both streams.
pub(crate) struct Screen {
    around: Surroundings,
    manners: Manners,
    clock: Arc<dyn Clock>,
    stdout_is_content: AtomicBool,
    reader_gone: AtomicBool,
}

impl Screen {
    /// On the process's own streams.
    pub(crate) fn new(around: Surroundings, manners: Manners, clock: Arc<dyn Clock>) -> Self {
        let (stdout_is_content, reader_gone) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { around, manners, clock, stdout_is_content, reader_gone }
    }

    /// Whether machines read.
    pub(crate) fn is_json(&self) -> bool {
        self.manners.json
    }

    /// The local zone.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.around.zone
    }

    /// The wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Width of the terminal that stdout is.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width_of(1)
    }

    fn width_of(&self, stream: usize) -> Option<usize> {
        if self.around.terminals[stream] { self.around.width.columns() } else { None }
    }

    /// Whether stdout is a terminal.
    pub(crate) fn stdout_is_terminal(&self) -> bool {
        self.around.terminals[1]
    }

    /// Colours of stdout.
    pub(crate) fn paint(&self) -> Paint {
        self.paint_of(1)
    }

    /// Width of the terminal that stderr is, and its colours.
    pub(crate) fn beside(&self) -> (Option<usize>, Paint) {
        (self.width_of(2), self.paint_of(2))
    }

    fn paint_of(&self, stream: usize) -> Paint {
        let around = &self.around;
        let (no_color, term) = (around.no_color.as_deref(), around.term.as_deref());
        Paint::choose(around.terminals[stream], no_color, term, around.locale.as_deref())
    }

    /// Prints a result for people; the text is safe already.
    pub(crate) fn result(&self, text: &str) -> Result<(), Failure> {
        self.content(text)
    }

    /// Prints a result that is sentences, which go on in a next line where the terminal ends.
    pub(crate) fn prose(&self, text: &str) -> Result<(), Failure> {
        self.content(&self.folded(1, text))
    }

    fn folded(&self, stream: usize, text: &str) -> String {
        self.width_of(stream).map_or_else(|| text.to_owned(), |width| fit::folded(text, width))
    }

    /// Prints something beside the result, for people, on stderr; the text is safe already.
    pub(crate) fn say(&self, text: &str) {
        if !self.manners.quiet && !self.manners.json {
            self.show(text);
        }
    }

    /// Prints on stderr what a person must see before answering, also with `-q`.
    pub(crate) fn show(&self, text: &str) {
        self.stderr(&self.folded(2, text));
    }

    /// Prints a warning.
    pub(crate) fn warn(&self, message: &str) {
        if self.manners.json {
            self.event("warning", json!({ "message": message }));
        } else {
            let word = self.paint_of(2).style("warning:", Style::Warning);
            self.show(&format!("{word} {}\n", plain::line(message)));
        }
    }

    /// Prints a warning beside a result that is one JSON value: on stderr in any case.
    pub(crate) fn warn_beside(&self, message: &str) {
        if self.manners.json {
            self.stderr(&progress::event(&json!({ "event": "warning", "message": message })));
        } else {
            self.warn(message);
        }
    }

    /// Prints why a command ended without success, and the next command.
    pub(crate) fn failure(&self, failure: &Failure, more: Value) {
        if self.manners.json {
            let mut fields = json!({
                "class": failure.class.word(), "message": failure.to_string(), "hint": failure.hint,
            });
            merge(&mut fields, more);
            self.event("error", fields);
            if self.stdout_is_content.load(Ordering::Relaxed) {
                return;
            }
        }
        let (what, hint) = failure_text(failure, self.paint_of(2));
        // A hint is a command to copy, and stays on its line.
        self.stderr(&(self.folded(2, &what) + &hint));
    }

    /// Prints one event: on stdout, or on stderr when stdout carries content.
    pub(crate) fn event(&self, name: &str, fields: Value) {
        let mut value = json!({ "event": name });
        merge(&mut value, fields);
        let text = progress::event(&value);
        if self.stdout_is_content.load(Ordering::Relaxed) {
            self.stderr(&text);
        } else {
            // Whoever read the events went away; the exit code still tells how it ended.
            drop(put(io::stdout(), &text));
        }
    }

    /// Prints one JSON value.
    pub(crate) fn value<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|e| Failure::failed("write the result as JSON").because(e))?;
        self.content(&format!("{}\n", plain::json(&text)))
    }

    /// Listens to a use case.
    pub(crate) fn listen(&self, cancel: Arc<Cancel>) -> Telling {
        let manner = self.manner();
        let teller = Teller::new(manner, self.paint_of(2), self.manners.quiet, self.clock.elapsed());
        let to_stdout = self.manners.json && !self.stdout_is_content.load(Ordering::Relaxed);
        let letters = self.paint_of(2);
        let write = move |text: &str| {
            if to_stdout { put(io::stdout(), text) } else { put(io::stderr(), &letters.letters(text)) }
                .is_ok()
        };
        Telling::begin(teller, manner, self.around.width, write, Arc::clone(&self.clock), cancel)
    }

    fn manner(&self) -> Manner {
        let drawn = self.around.terminals[2] && self.around.term.as_deref() != Some("dumb");
        match self.around.width.columns() {
            _ if self.manners.json => Manner::Json,
            Some(width) if drawn => Manner::Terminal { width },
            Some(_) | None => Manner::Lines,
        }
    }

    /// From now on stdout carries a file's or a list's bytes, so no event may stand between them.
    pub(crate) fn give_stdout_away(&self) {
        self.stdout_is_content.store(true, Ordering::Relaxed);
    }

    /// Nobody tells anything any more: an error may stand there again.
    pub(crate) fn take_stdout_back(&self) {
        self.stdout_is_content.store(false, Ordering::Relaxed);
    }

    /// Whether the reader of a list went away, as `head` does. That is no failure.
    pub(crate) fn is_reader_gone(&self) -> bool {
        self.reader_gone.load(Ordering::Relaxed)
    }

    fn content(&self, text: &str) -> Result<(), Failure> {
        match put(io::stdout(), &self.paint().letters(text)) {
            // Whoever read the result went away; what was done is done, and the exit code tells it.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|e| Failure::failed("write to stdout").because(e)),
        }
    }

    /// Remembers when the reader of a list or a file went away.
    pub(crate) fn noted<T>(&self, written: io::Result<T>) -> io::Result<T> {
        if written.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
            self.reader_gone.store(true, Ordering::Relaxed);
        }
        written
    }

    fn stderr(&self, text: &str) {
        // Nobody listens on stderr; the exit code still tells how it ended.
        drop(put(io::stderr(), &self.paint_of(2).letters(text)));
    }
}

fn put(mut stream: impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes()).and_then(|()| stream.flush())
}

/// `error: what: cause`, and `  hint: next command`.
fn failure_text(failure: &Failure, paint: Paint) -> (String, String) {
    let what = format!("{} {}\n", paint.style("error:", Style::Bad), plain::line(&failure.to_string()));
    let hint = failure.hint.as_ref().map_or_else(String::new, |hint| {
        format!("  {} {}\n", paint.style("hint:", Style::Good), plain::line(hint))
    });
    (what, hint)
}

/// The fields of a report, as a JSON object.
pub(crate) fn fields<T: Serialize>(report: &T) -> Result<Value, Failure> {
    serde_json::to_value(report).map_err(|e| Failure::failed("write the report as JSON").because(e))
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

#[cfg(test)]
mod tests {
    use engine::failure::Class;

    use engine::adapter::clock::SystemClock;

    use super::*;

    fn screen(terminals: [bool; 3], term: &str, json: bool) -> Screen {
        let around = Surroundings {
            terminals,
            width: Width::Told(80),
            no_color: None,
            term: Some(term.into()),
            locale: Some("C.UTF-8".into()),
            zone: TimeZone::UTC,
        };
        Screen::new(around, Manners { json, quiet: false }, Arc::new(SystemClock::start()))
    }

    #[test]
    fn a_line_is_drawn_only_where_stderr_is_a_terminal_that_can() {
        for (terminals, term, json, want) in [
            ([true; 3], "xterm", false, Manner::Terminal { width: 80 }),
            ([false, false, true], "xterm", false, Manner::Terminal { width: 80 }),
            ([true, true, false], "xterm", false, Manner::Lines),
            ([true; 3], "dumb", false, Manner::Lines),
            ([true; 3], "xterm", true, Manner::Json),
            ([false; 3], "xterm", true, Manner::Json),
        ] {
            assert_eq!(screen(terminals, term, json).manner(), want, "{terminals:?} {term} {json}");
        }
    }

    #[test]
    fn tables_are_cut_and_coloured_only_where_stdout_is_a_terminal() {
        let to_pipe = screen([true, false, true], "xterm", false);
        assert_eq!((to_pipe.width(), to_pipe.paint()), (None, Paint::OFF));
        let to_terminal = screen([false, true, false], "xterm", false);
        assert_eq!((to_terminal.width(), to_terminal.paint()), (Some(80), Paint::ON));
    }

    #[test]
    fn an_error_says_what_and_the_next_command_on_two_lines() {
        let failure = Failure::new(Class::Busy, "back up `db`")
            .because(io::Error::other("held by \x1b[31mrun 1\nx"))
            .hint("backupctl runs");
        let want = ("error: back up `db`: held by \\u{1b}[31mrun 1\\nx\n", "  hint: backupctl runs\n");
        let (what, hint) = failure_text(&failure, Paint::OFF);
        assert_eq!((what.as_str(), hint.as_str()), want);
    }
}
