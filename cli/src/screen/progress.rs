//! What a deed tells while it runs, as text: one line redrawn on a terminal, a plain line now and then
//! elsewhere, JSON lines for scripts. Pure: times come in, bytes for a stream go out.

use std::time::Duration;

use engine::usecase::watch::{Progress, Told};
use serde_json::json;

use super::paint::{Paint, Style};
use super::rate::Rate;
use super::{fit, plain, units};

/// How it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// One line at the bottom of a terminal of this width.
    Terminal {
        /// Columns.
        width: usize,
    },
    /// A line for each step, and one every [`Manner::pause`] while it lasts.
    Lines,
    /// Events.
    Json,
}

impl Manner {
    /// So much time passes between two progress messages.
    pub(crate) fn pause(self) -> Duration {
        match self {
            Self::Terminal { .. } => Duration::from_millis(100),
            Self::Lines => Duration::from_secs(10),
            Self::Json => Duration::from_secs(1),
        }
    }
}

/// The state of what was told and shown.
#[derive(Debug)]
pub(crate) struct Teller {
    manner: Manner,
    paint: Paint,
    quiet: bool,
    step: String,
    progress: Option<Progress>,
    rate: Rate,
    shown_at: Duration,
    /// Columns of the line that is on the terminal; 0 if none is.
    line_up: usize,
}

impl Teller {
    /// `quiet` leaves warnings only.
    pub(crate) fn new(manner: Manner, paint: Paint, quiet: bool, now: Duration) -> Self {
        Self {
            manner,
            paint,
            quiet,
            step: String::new(),
            progress: None,
            rate: Rate::default(),
            shown_at: now,
            line_up: 0,
        }
    }

    /// The terminal has another width from now on.
    pub(crate) fn resize(&mut self, columns: usize) {
        if let Manner::Terminal { width } = &mut self.manner {
            *width = columns;
        }
    }

    /// Hears one thing; gives what to write at once.
    pub(crate) fn hear(&mut self, told: Told, now: Duration) -> String {
        match told {
            Told::Step(step) => {
                let said = match self.manner {
                    Manner::Lines if !self.quiet => format!("{}\n", plain::line(&step)),
                    Manner::Json if !self.quiet => event(&json!({"event": "step", "what": step})),
                    Manner::Lines | Manner::Json | Manner::Terminal { .. } => String::new(),
                };
                self.step = step;
                self.progress = None;
                self.rate = Rate::default();
                self.shown_at = now;
                let line = self.redraw(now);
                said + &line
            }
            Told::Progress(progress) => {
                self.rate.note(now, progress.bytes);
                self.progress = Some(progress);
                String::new()
            }
            Told::Warning(warning) => {
                let said = match self.manner {
                    Manner::Json => event(&json!({"event": "warning", "message": warning})),
                    Manner::Lines | Manner::Terminal { .. } => {
                        let word = self.paint.style("warning:", Style::Warning);
                        let text = format!("{word} {}\n", plain::line(&warning));
                        self.clear() + &self.folded(text)
                    }
                };
                let line = self.redraw(now);
                said + &line
            }
        }
    }

    /// What is due at `now`; often nothing.
    pub(crate) fn tick(&mut self, now: Duration) -> String {
        if self.quiet || now.saturating_sub(self.shown_at) < self.manner.pause() {
            return String::new();
        }
        self.shown_at = now;
        match (self.manner, &self.progress) {
            (Manner::Terminal { .. }, _) => self.redraw(now),
            (_, None) => String::new(),
            (Manner::Lines, Some(_)) => format!("{}\n", self.sentence()),
            (Manner::Json, Some(p)) => event(&json!({
                "event": "progress", "entries": p.entries, "bytes": p.bytes, "of_bytes": p.of_bytes, "path": p.path,
            })),
        }
    }

    /// Takes the line off the terminal. One that became narrower meanwhile shows it as several.
    pub(crate) fn clear(&mut self) -> String {
        let above = match self.manner {
            Manner::Terminal { width } => self.line_up.saturating_sub(1) / width.max(1),
            Manner::Lines | Manner::Json => 0,
        };
        match (std::mem::take(&mut self.line_up), above) {
            (0, _) => String::new(),
            (_, 0) => "\r\x1b[2K".to_owned(),
            (_, above) => format!("\r\x1b[{above}A\x1b[J"),
        }
    }

    fn folded(&self, text: String) -> String {
        match self.manner {
            Manner::Terminal { width } => fit::folded(&text, width),
            Manner::Lines | Manner::Json => text,
        }
    }

    fn redraw(&mut self, now: Duration) -> String {
        let Manner::Terminal { width } = self.manner else {
            return String::new();
        };
        if self.quiet || self.step.is_empty() {
            return String::new();
        }
        self.shown_at = now;
        let old = match self.clear() {
            none if none.is_empty() => "\r\x1b[2K".to_owned(),
            old => old,
        };
        // One column stays free: a terminal that wraps at its edge would leave a line behind.
        let sentence = self.paint.letters(&self.sentence()).into_owned();
        let line = fit::cut(&sentence, width.saturating_sub(1), self.paint);
        self.line_up = fit::columns(&line);
        old + &line
    }

    /// `reading db-data: 42%, 1.2 GiB of 2.9 GiB, 310 MiB/s, 5 s left, base/1/2`.
    fn sentence(&self) -> String {
        let mut out = plain::line(&self.step).into_owned();
        let Some(p) = &self.progress else {
            return out;
        };
        let mut parts = Vec::new();
        match p.of_bytes {
            Some(all) if all > 0 => {
                parts.push(format!("{}%", u128::from(p.bytes.min(all)) * 100 / u128::from(all)));
                parts.push(format!("{} of {}", units::bytes(p.bytes), units::bytes(all)));
            }
            _ => parts.push(format!(
                "{}, {}",
                units::bytes(p.bytes),
                units::counted(p.entries, "entry", "entries")
            )),
        }
        if let Some(rate) = self.rate.per_second() {
            parts.push(format!("{}/s", units::bytes(rate)));
        }
        if let Some(left) = p.of_bytes.and_then(|all| self.rate.time_for(all.saturating_sub(p.bytes))) {
            parts.push(match left.as_secs() {
                seconds @ ..60 => format!("{seconds} s left"),
                _ => format!("{} left", units::span(left)),
            });
        }
        if !p.path.is_empty() {
            parts.push(plain::line(&p.path).into_owned());
        }
        out.push_str(": ");
        out.push_str(&parts.join(", "));
        out
    }
}

/// One JSON line.
pub(crate) fn event(value: &serde_json::Value) -> String {
    format!("{}\n", plain::json(&value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bytes: u64, of_bytes: Option<u64>) -> Told {
        Told::Progress(Progress { entries: 12, bytes, of_bytes, path: "base/\x1b[2J".into() })
    }

    /// Tells a short story and gives all that was written.
    fn story(manner: Manner, quiet: bool) -> String {
        let second = Duration::from_secs;
        let mut teller = Teller::new(manner, Paint::OFF, quiet, second(0));
        let mut out = teller.hear(Told::Step("reading `db`".into()), second(0));
        out += &teller.hear(at(0, Some(4 << 20)), second(0));
        out += &teller.hear(at(1 << 20, Some(4 << 20)), second(1));
        out += &teller.tick(second(1));
        out += &teller.hear(Told::Warning("`x` vanished\n".into()), second(1));
        out += &teller.hear(at(2 << 20, None), second(2));
        out += &teller.tick(second(11));
        out + &teller.clear()
    }

    #[test]
    fn a_terminal_has_one_line_that_is_cleared_in_the_end() {
        let want = "\r\x1b[2Kreading `db`\
            \r\x1b[2Kreading `db`: 25%, 1.0 MiB of 4.0 MiB, 1.0 MiB/s, 3 s left, base/\\u{1b…\
            \r\x1b[2Kwarning: `x` vanished\\n\n\
            \r\x1b[2Kreading `db`: 25%, 1.0 MiB of 4.0 MiB, 1.0 MiB/s, 3 s left, base/\\u{1b…\
            \r\x1b[2Kreading `db`: 2.0 MiB, 12 entries, 1.0 MiB/s, base/\\u{1b}[2J\
            \r\x1b[2K";
        assert_eq!(story(Manner::Terminal { width: 72 }, false), want);
        assert_eq!(story(Manner::Terminal { width: 72 }, true), "warning: `x` vanished\\n\n");
    }

    #[test]
    fn a_line_that_a_narrower_terminal_shows_as_several_is_taken_off_whole() {
        let second = Duration::from_secs;
        let mut teller = Teller::new(Manner::Terminal { width: 80 }, Paint::OFF, false, second(0));
        teller.hear(Told::Step("x".repeat(70)), second(0));
        teller.resize(30);
        let redrawn = teller.tick(second(1));
        assert_eq!(redrawn, format!("\r\x1b[2A\x1b[J{}…", "x".repeat(28)), "70 columns are 3 lines of 30");
        assert_eq!(teller.clear(), "\r\x1b[2K");
        assert_eq!(teller.clear(), "", "once");
    }

    #[test]
    fn elsewhere_it_is_a_plain_line_every_ten_seconds() {
        let want = "reading `db`\nwarning: `x` vanished\\n\n\
            reading `db`: 2.0 MiB, 12 entries, 1.0 MiB/s, base/\\u{1b}[2J\n";
        assert_eq!(story(Manner::Lines, false), want);
        assert_eq!(story(Manner::Lines, true), "warning: `x` vanished\\n\n");
    }

    #[test]
    fn scripts_get_one_event_a_line() {
        let want = [
            r#"{"event":"step","what":"reading `db`"}"#,
            r#"{"bytes":1048576,"entries":12,"event":"progress","of_bytes":4194304,"path":"base/\u001b[2J"}"#,
            r#"{"event":"warning","message":"`x` vanished\n"}"#,
            r#"{"bytes":2097152,"entries":12,"event":"progress","of_bytes":null,"path":"base/\u001b[2J"}"#,
        ];
        assert_eq!(story(Manner::Json, false).lines().collect::<Vec<_>>(), want);
        assert_eq!(story(Manner::Json, true).lines().collect::<Vec<_>>(), [want[2]]);
    }
}
