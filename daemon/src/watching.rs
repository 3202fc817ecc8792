//! What a use case tells, as lines of a log.

use engine::usecase::watch::{Cancel, Told, Watch};
use tracing::{info, warn};

/// Logs steps and warnings. Progress is for people who wait; nobody waits here.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    cancel: Cancel,
}

impl Watch for Logged {
    fn tell(&self, told: Told) {
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
