//! What a person is told when something could not be done: what, where, why, and the next command.
//!
//! Ports and modules have small error types of their own. A use case turns them into a [`Failure`] at the
//! point where it knows what it was doing for whom. Programs print it once and exit with its class.

use std::error::Error;
use std::fmt;

/// Why a command ended without success; each has its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Something broke.
    Failed,
    /// The command line or a settings file makes no sense.
    Usage,
    /// It was done, but something was left out.
    Partial,
    /// No such source, snapshot, file, run, bucket.
    NotFound,
    /// Someone else holds the lineage or the target.
    Busy,
    /// A signature, a key or credentials do not match.
    WrongKey,
    /// Refused because data could be lost; a flag or an answer accepts the risk.
    Unsafe,
    /// Ended by a signal or by `backupctl cancel`.
    Interrupted,
}

impl Class {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 8] = [
        Self::Failed,
        Self::Usage,
        Self::Partial,
        Self::NotFound,
        Self::Busy,
        Self::WrongKey,
        Self::Unsafe,
        Self::Interrupted,
    ];

    /// The exit code that scripts may rely on.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::NotFound => 10,
            Self::Busy => 11,
            Self::WrongKey => 12,
            Self::Unsafe => 13,
            Self::Interrupted => 130,
        }
    }

    /// One word for JSON and run rows.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Partial => "partial",
            Self::NotFound => "not_found",
            Self::Busy => "busy",
            Self::WrongKey => "wrong_key",
            Self::Unsafe => "unsafe",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A deed that was not done, in words for a person.
#[derive(Debug)]
pub struct Failure {
    /// Which exit code.
    pub class: Class,
    /// What was being done, and where.
    pub what: String,
    /// The next thing to type or to change; `None` only when the cause says it all.
    pub hint: Option<String>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// With what failed, in words: `read manifest `db/00000042.manifest``.
    pub fn new(class: Class, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), hint: None, cause: None }
    }

    /// Something broke.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Class::Failed, what)
    }

    /// No such thing.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(Class::NotFound, what)
    }

    /// Adds the next command.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says in front what it was a part of.
    #[must_use]
    pub fn within(mut self, what: &str) -> Self {
        self.what = format!("{what}: {}", self.what);
        self
    }

    /// Adds the cause, printed after a colon.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

/// `what: cause: cause of the cause`, on one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let mut next: Option<&dyn Error> = self.cause.as_deref().map(|cause| cause as &dyn Error);
        let mut said = String::new();
        while let Some(cause) = next {
            let words = cause.to_string();
            // Some libraries repeat their cause in their own words.
            if !said.contains(&words) {
                write!(f, ": {words}")?;
                said = words;
            }
            next = cause.source();
        }
        Ok(())
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The match is there so that a new class does not compile before somebody has looked at the list.
    #[test]
    fn every_class_has_its_place_in_the_list() {
        for (i, class) in Class::ALL.into_iter().enumerate() {
            let place = match class {
                Class::Failed => 0,
                Class::Usage => 1,
                Class::Partial => 2,
                Class::NotFound => 3,
                Class::Busy => 4,
                Class::WrongKey => 5,
                Class::Unsafe => 6,
                Class::Interrupted => 7,
            };
            assert_eq!(i, place, "{class:?}");
        }
        assert!(Class::ALL.map(Class::exit_code).is_sorted());
    }
}
