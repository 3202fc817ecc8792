//! Snapshots that a store lists and whose manifests cannot be read: it cannot be reached, says no, or has something that
//! nobody signed or that is of a newer format.
//!
//! Always true: nobody passes one over in silence. It may be the newest, and an older one is another answer.

use jiff::Timestamp;

use crate::catalog::SnapshotRow;
use crate::failure::Failure;
use crate::format::names::Lineage;
use crate::words::Number;

/// One of them.
#[derive(Debug)]
pub struct Unread {
    /// Whose and which source.
    pub lineage: Lineage,
    /// Its number.
    pub number: Number,
    /// It was soft-deleted.
    pub deleted: bool,
    /// Why it cannot be read.
    pub failure: Failure,
}

/// Refuses if one of a lineage that cannot be read may be what is looked for, rather than `chosen`; `rows` are those that
/// can be read. When one was taken stands in its manifest, so its neighbours tell: what came after another that is
/// too new is too new.
pub(crate) fn refuse(
    unread: Vec<Unread>,
    rows: &[SnapshotRow],
    at: Option<Timestamp>,
    chosen: Option<Number>,
) -> Result<(), Failure> {
    let may_be = |one: &Unread| {
        let too_new = |row: &SnapshotRow| at.is_some_and(|at| row.taken_at > at);
        let between = |row: &&SnapshotRow| chosen < Some(row.key.number) && row.key.number < one.number;
        !one.deleted && chosen < Some(one.number) && !rows.iter().filter(between).any(too_new)
    };
    let Some(one) = unread.into_iter().filter(may_be).max_by_key(|one| one.number) else { return Ok(()) };
    let what = match at {
        None => format!("find the newest snapshot of `{}`", one.lineage.source),
        Some(at) => format!("find the newest snapshot of `{}` that was taken by {at:.0}", one.lineage.source),
    };
    let mut failure = one.failure.within(&what);
    if let Some(older) = chosen {
        let knowingly = format!("an older one is taken only if you name it: `--snapshot {older}`");
        failure.hint =
            Some(failure.hint.map_or_else(|| knowingly.clone(), |hint| format!("{hint}; {knowingly}")));
    }
    Err(failure)
}
