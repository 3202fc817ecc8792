//! What a use case tells, as lines of a log.

use std::sync::Arc;

use engine::failure::Failure;
use engine::usecase::watch::{Cancel, Told, Watch};
use engine::words::SourceName;
use tracing::{Span, error, info, info_span, warn};

/// Logs steps and warnings. Progress is for people who wait; nobody waits here.
#[derive(Debug)]
pub(crate) struct Logged {
    cancel: Arc<Cancel>,
    span: Span,
}

impl Logged {
    /// For what is about the whole host.
    pub(crate) fn new(cancel: Arc<Cancel>) -> Self {
        Self { cancel, span: Span::none() }
    }

    /// For a deed whose lines carry that span.
    pub(crate) fn of(cancel: Arc<Cancel>, span: Span) -> Self {
        Self { cancel, span }
    }
}

/// Each line of a deed names its source, and its run from when there is one: the engine fills that in.
pub(crate) fn deed(verb: &'static str, source: &SourceName) -> Span {
    info_span!("deed", verb, %source, run = tracing::field::Empty)
}

impl Watch for Logged {
    fn tell(&self, told: Told) {
        let _entered = self.span.enter();
        match told {
            Told::Step(step) => info!("{}", line(&step)),
            Told::Warning(warning) => warn!("{}", line(&warning)),
            Told::Progress(_) => {}
        }
    }

    fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

/// Logs what could not be done, and the next command.
pub(crate) fn tell_failure(failure: &Failure) {
    let message = line(&failure.to_string());
    match &failure.hint {
        Some(hint) => error!(class = failure.class.word(), "{message}; {}", line(hint)),
        None => error!(class = failure.class.word(), "{message}"),
    }
}

/// One line: names of containers and files may hold anything, and a log is read on terminals.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the log writes, line by line.
    #[derive(Clone, Default)]
    struct Written(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_line_of_a_deed_names_its_source_and_its_run() {
        let written = Written::default();
        let to = written.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
        tracing::subscriber::with_default(log, || {
            // Other tests log to nobody at the same time, and may have had these lines switched off for good.
            tracing::callsite::rebuild_interest_cache();
            let span = deed("backup", &"db".parse().unwrap());
            let watch = Logged::of(Arc::default(), span.clone());
            watch.tell(Told::Step("before".into()));
            span.in_scope(|| {
                Span::current().record("run", "r1");
            });
            watch.tell(Told::Warning("after".into()));
            span.in_scope(|| warn!("of the engine"));
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].contains("verb=\"backup\" source=db}"), "{text}");
        assert!(lines[1..].iter().all(|line| line.contains("source=db run=\"r1\"}")), "{text}");
        assert_eq!(lines.len(), 3, "{text}");
    }

    #[test]
    fn a_name_cannot_forge_a_line_of_the_log() {
        assert_eq!(line("db\nERROR all is lost\x1b[2J"), "db\\nERROR all is lost\\u{1b}[2J");
    }
}
