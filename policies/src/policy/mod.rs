//! Policies: one TOML file each, named by its file (`db.toml` is `db`).
//!
//! ```toml
//! schedule = "0 2 * * *"
//! time_zone = "Europe/Berlin"
//!
//! [select]
//! volumes = ["*_db-data"]
//!
//! [consistency]
//! mode = "postgres"
//!
//! [keep]
//! daily = 14
//! weekly = 8
//! ```
//!
//! Always true: a file is a policy as a whole or not at all. What a file must say, because a wrong guess
//! hurts (when, and how consistent), has no default; what it may leave out has one that loses nothing.

mod dump;
mod folder;
mod key;
mod keys;
mod read;
mod rules;
mod terms;
#[cfg(test)]
mod tests;
mod texts;
mod units;

use toml::de::DeTable;

pub use dump::{Dump, Secret};
pub use folder::Folder;
pub(crate) use key::{Key, Kind};
pub(crate) use keys::POLICY;
pub(crate) use read::read_notify;
pub use terms::{
    Consistency, Drill, Event, Guard, Keep, Limits, Mode, Notify, OnUnfreezable, Pack, Reread, Terms,
};
pub(crate) use units::{BYTES_PATTERN, SPEED_PATTERN, TIME_PATTERN};
pub use units::{parse_bytes, parse_speed, parse_time, print_bytes, print_time};

use crate::complaint::{Complaint, Judge, shown};
use crate::select::Select;

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The file's name, without `.toml`.
    pub name: String,
    /// What it claims.
    pub select: Select,
    /// What becomes of that.
    pub rule: Rule,
}

/// What becomes of a policy's sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// They are backed up.
    BackUp(Box<Terms>),
    /// Somebody decided that they are not.
    Nothing {
        /// Why.
        because: String,
    },
}

impl Policy {
    /// The terms, if it backs up at all.
    pub fn terms(&self) -> Option<&Terms> {
        match &self.rule {
            Rule::BackUp(terms) => Some(terms),
            Rule::Nothing { .. } => None,
        }
    }
}

/// No person writes a longer one.
const FILE_BYTES_MAX: usize = 256 << 10;

const BREAKS_TOLD_MAX: usize = 4;

/// A policy, and where its file speaks of what it selects.
struct Written {
    policy: Policy,
    select_at: usize,
}

/// Reads one file; `file` is `db.toml`.
fn read_file(file: &str, text: &str) -> Result<Written, Vec<Complaint>> {
    let mut judge = Judge::new(text);
    let written = judged(&mut judge, file, text);
    let complaints = judge.complaints(&shown(file));
    match written {
        Some(written) if complaints.is_empty() => Ok(written),
        Some(_) | None => {
            assert!(!complaints.is_empty(), "BUG: a file is no policy, and nobody says why");
            Err(complaints)
        }
    }
}

fn judged(judge: &mut Judge<'_>, file: &str, text: &str) -> Option<Written> {
    let name = name_of(judge, file);
    if text.len() > FILE_BYTES_MAX {
        judge.blame(&(0..0), "this is no policy: it is larger than 256 KiB");
        return None;
    }
    let (table, broken) = DeTable::parse_recoverable(text);
    // One break makes the parser stumble on; the first few tell.
    for error in broken.iter().take(BREAKS_TOLD_MAX) {
        judge.blame(&error.span().unwrap_or_default(), error.message());
    }
    if !broken.is_empty() {
        return None;
    }
    if table.get_ref().is_empty() {
        let mend =
            "to back nothing up, say so: `nothing = \"because …\"`; to have no such policy, remove the file";
        judge.blame(&(0..0), format!("this file says nothing: was it written to its end? {mend}"));
        return None;
    }
    let last = text.rsplit('\n').next().unwrap_or_default().trim();
    if !last.is_empty() && !last.starts_with('#') {
        judge.blame(
            &judge.end(),
            "the last line has no end: was the file written to its end? end it with a line break",
        );
    }
    let draft = read::read(judge, table.get_ref());
    let select_at = draft.at("select").map_or(0, |span| span.start);
    Some(Written { policy: rules::finish(judge, name, draft)?, select_at })
}

/// The name that a file gives to its policy.
fn name_of(judge: &mut Judge<'_>, file: &str) -> String {
    const CHARS_MAX: usize = 64;
    let stem = file.strip_suffix(".toml");
    if stem.is_none() {
        judge.blame(&(0..0), "a policy's file is called `NAME.toml`");
    }
    let name = stem.unwrap_or(file);
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !first || name.len() > CHARS_MAX || !name.chars().all(fine) {
        let rule = "must be letters, digits, `.`, `-` and `_`, at most 64 of them";
        judge.blame(&(0..0), format!("the file's name is the policy's, and {rule}; rename the file"));
    }
    shown(name)
}
