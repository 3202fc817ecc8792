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

    /// For a run of one source, which each line names.
    pub(crate) fn of(cancel: Arc<Cancel>, source: &SourceName) -> Self {
        Self { cancel, span: info_span!("run", %source) }
    }
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

    #[test]
    fn a_name_cannot_forge_a_line_of_the_log() {
        assert_eq!(line("db\nERROR all is lost\x1b[2J"), "db\\nERROR all is lost\\u{1b}[2J");
    }
}
