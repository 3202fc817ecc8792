//! The passage of every verb that changes what is there: print the plan, ask, go on only after a yes.
//!
//! Always true: nobody agrees to what they have not seen. Whoever agreed beforehand may leave the plan unprinted (`-q`);
//! whoever is asked sees it whatever the flags are.

use engine::failure::Failure;
use serde::Serialize;

use super::{Screen, fields};

/// A plan as people read it, and what they are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proposal<'a> {
    /// The plan, safe to print.
    pub(crate) text: &'a str,
    /// Ends with `?`.
    pub(crate) question: &'a str,
    /// What is not done if nobody agrees: "restore `db-data`".
    pub(crate) deed: &'a str,
}

/// What was said beforehand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Consent {
    /// Print the plan and end.
    pub(crate) dry_run: bool,
    /// It is agreed to.
    pub(crate) yes: bool,
}

impl Screen {
    /// Prints the plan and asks. `false` if it was to be printed only, and the verb ends there.
    pub(crate) fn propose<T: Serialize>(
        &self,
        plan: &T,
        proposal: Proposal<'_>,
        consent: Consent,
    ) -> Result<bool, Failure> {
        self.plan(plan, proposal.text, consent.dry_run)?;
        if !consent.dry_run {
            self.agree(proposal, consent.yes)?;
        }
        Ok(!consent.dry_run)
    }

    /// Prints a plan as a result: for scripts in any case, for people where that is all they want.
    pub(crate) fn plan<T: Serialize>(&self, plan: &T, text: &str, dry_run: bool) -> Result<(), Failure> {
        if self.is_json() {
            self.event("plan", fields(plan)?);
        } else if dry_run {
            self.prose(text)?;
        }
        Ok(())
    }

    /// Shows a plan to whoever is to agree to it, and asks.
    pub(crate) fn agree(&self, proposal: Proposal<'_>, yes: bool) -> Result<(), Failure> {
        let Proposal { text, question, deed } = proposal;
        if yes {
            self.say(text);
        } else {
            self.show(text);
        }
        self.confirm(question, deed, yes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::adapter::clock::SystemClock;
    use engine::failure::Class;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::screen::width::Width;
    use crate::screen::{Manners, Surroundings};

    #[test]
    fn a_verb_goes_on_only_where_it_is_agreed_to() {
        let around = Surroundings {
            terminals: [false; 3],
            width: Width::Told(80),
            no_color: None,
            term: None,
            locale: None,
            zone: TimeZone::UTC,
        };
        let manners = Manners { json: false, quiet: true };
        let screen = Screen::new(around, manners, Arc::new(SystemClock::start()));
        let proposal = Proposal { text: "", question: "Sure?", deed: "restore `db`" };
        let propose = |dry_run, yes| screen.propose(&(), proposal, Consent { dry_run, yes });
        assert!(propose(false, true).unwrap());
        assert!(!propose(true, true).unwrap());
        assert!(!propose(true, false).unwrap());
        assert_eq!(propose(false, false).unwrap_err().class, Class::Unsafe);
    }
}
