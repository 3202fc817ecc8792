//! How wide the terminal is.

use std::io;
use std::os::fd::AsFd;

/// Where that is known from. A terminal is asked anew each time: people drag windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// `COLUMNS`.
    Told(usize),
    /// The terminal that stderr or stdout is.
    Asked,
}

impl Width {
    /// As `COLUMNS` says, if it says anything that makes sense.
    pub(crate) fn of(told: Option<&str>) -> Self {
        let told = told.and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
        told.map_or(Self::Asked, Self::Told)
    }

    /// Columns; `None` where there is no terminal.
    pub(crate) fn columns(self) -> Option<usize> {
        match self {
            Self::Told(columns) => Some(columns),
            Self::Asked => of(io::stderr()).or_else(|| of(io::stdout())),
        }
    }
}

fn of(stream: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_counts_if_it_makes_sense() {
        for (told, want) in [
            (Some("80"), Width::Told(80)),
            (Some("0"), Width::Asked),
            (Some("wide"), Width::Asked),
            (None, Width::Asked),
        ] {
            assert_eq!(Width::of(told), want, "{told:?}");
        }
    }
}
