//! Runs: what this host is doing and did, each row written before the outside world changes.

use jiff::Timestamp;
use rusqlite::{Row, Transaction, params};
use serde::Serialize;

use crate::catalog::journal::RestoreJournal;
use crate::catalog::row::{check_digest, decode, digest, from_nanos, nanos};
use crate::catalog::run::{NewRun, Outcome, Progress, RunRow, Upload, Verb};
use crate::catalog::run_state::{RunEvent, RunState};
use crate::catalog::{Catalog, CatalogError};
use crate::format::names::Lineage;
use crate::words::{Number, RunId, SourceName};

/// Longer messages are cut.
const MESSAGE_BYTES_MAX: usize = 4096;

/// So many are kept; older ones that are over go.
pub const RUNS_MAX: u64 = 10_000;

const SELECT: &str = "SELECT id, verb, host, source, store, state, pid, began_at, ended_at, outcome, message, \
     snapshot, uploads, journal, digest, cancel, entries, bytes, bytes_per_second, path FROM runs";

impl Catalog {
    /// Writes the row of a new run. Take the lock first: an unfinished row whose lock is free is a dead run's.
    pub fn begin_run(&self, new: &NewRun, now: Timestamp) -> Result<RunRow, CatalogError> {
        let row = planned(new, now);
        self.write(move |t| {
            insert(t, &row)?;
            Ok(row)
        })
    }

    /// It begins work that needs no undo, on this snapshot if on one.
    pub fn note_work(&self, run: &RunId, snapshot: Option<Number>) -> Result<(), CatalogError> {
        self.advance(run, RunEvent::Work, |row| row.snapshot = snapshot)
    }

    /// It is about to begin a pack with this key.
    pub fn note_upload(&self, run: &RunId, key: &str) -> Result<(), CatalogError> {
        self.advance(run, RunEvent::Upload, |row| row.uploads.push(Upload { key: key.to_owned(), id: None }))
    }

    /// The store has given the upload of `key` its id.
    pub fn note_upload_id(&self, run: &RunId, key: &str, id: &str) -> Result<(), CatalogError> {
        self.advance(run, RunEvent::Upload, |row| {
            row.uploads.retain(|upload| upload.key != key);
            row.uploads.push(Upload { key: key.to_owned(), id: Some(id.to_owned()) });
        })
    }

    /// It is about to put the manifest of this snapshot.
    pub fn note_commit(&self, run: &RunId, snapshot: Number) -> Result<(), CatalogError> {
        self.advance(run, RunEvent::Commit, |row| row.snapshot = Some(snapshot))
    }

    /// It is about to make a volume or stop containers, as the journal says; also when the journal has grown.
    pub fn note_prepare(
        &self,
        run: &RunId,
        snapshot: impl Into<Option<Number>>,
        journal: &RestoreJournal,
    ) -> Result<(), CatalogError> {
        let snapshot = snapshot.into();
        self.advance(run, RunEvent::Prepare, |row| {
            row.snapshot = snapshot;
            row.journal = Some(journal.clone());
        })
    }

    /// What it had unpacked waits for the next restore, or does so no longer. It may have ended before.
    pub fn note_unfinished(&self, run: &RunId, waits: bool) -> Result<(), CatalogError> {
        self.write(|t| {
            let mut row = existing(t, run)?;
            let Some(journal) = &mut row.journal else { return Ok(()) };
            journal.unfinished = waits;
            t.execute(
                "UPDATE runs SET journal = ?2, digest = ?3 WHERE id = ?1",
                params![run.as_str(), row.journal.as_ref().map(json).transpose()?, row_digest(&row)?],
            )?;
            Ok(())
        })
    }

    /// Restores that were cut off, and left something that waits.
    pub fn unfinished_restores(&self) -> Result<Vec<RunRow>, CatalogError> {
        // The text only narrows it down; the row decides.
        const WHICH: &str = "WHERE verb = 'restore' AND journal LIKE '%unfinished%' ORDER BY began_at, rowid";
        let rows = self.read(|t| rows_of(t, WHICH, []))?;
        let waits = |row: &RunRow| row.journal.as_ref().is_some_and(|journal| journal.unfinished);
        Ok(rows.into_iter().filter(waits).collect())
    }

    /// It is about to write content.
    pub fn note_unpack(&self, run: &RunId) -> Result<(), CatalogError> {
        self.advance(run, RunEvent::Unpack, |_row| {})
    }

    /// It is about to swap.
    pub fn note_swap(&self, run: &RunId) -> Result<(), CatalogError> {
        self.advance(run, RunEvent::Swap, |_row| {})
    }

    /// It is about to start containers again, whatever became of the content.
    pub fn note_resume(&self, run: &RunId) -> Result<(), CatalogError> {
        self.advance(run, RunEvent::Resume, |_row| {})
    }

    /// The new content is in place, and it is about to start containers again.
    pub fn note_in_place(&self, run: &RunId) -> Result<(), CatalogError> {
        self.advance(run, RunEvent::Resume, |row| {
            if let Some(journal) = &mut row.journal {
                journal.swapped = true;
            }
        })
    }

    /// It is over.
    pub fn finish_run(
        &self,
        run: &RunId,
        outcome: Outcome,
        message: Option<&str>,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.advance(run, RunEvent::Finish, |row| {
            row.ended_at = Some(now);
            row.outcome = Some(outcome);
            row.message = message.map(cut);
        })
    }

    /// Shows how far it is. The caller limits how often. A run that is over, or not there, takes none.
    pub fn note_progress(&self, run: &RunId, progress: &Progress) -> Result<(), CatalogError> {
        self.write(|t| {
            t.prepare_cached(
                "UPDATE runs SET entries = ?2, bytes = ?3, bytes_per_second = ?4, path = ?5 \
                 WHERE id = ?1 AND ended_at IS NULL",
            )?
            .execute(params![
                run.as_str(),
                progress.entries,
                progress.bytes,
                progress.bytes_per_second,
                progress.path
            ])?;
            Ok(())
        })
    }

    /// Asks it to stop; whether it was there and not over.
    pub fn request_cancel(&self, run: &RunId) -> Result<bool, CatalogError> {
        self.write(|t| {
            let asked = t
                .prepare_cached("UPDATE runs SET cancel = 1 WHERE id = ?1 AND ended_at IS NULL")?
                .execute([run.as_str()])?;
            Ok(asked == 1)
        })
    }

    /// Whether someone asked it to stop.
    pub fn is_cancel_requested(&self, run: &RunId) -> Result<bool, CatalogError> {
        self.read(|t| Ok(existing(t, run)?.cancel_requested))
    }

    /// One run.
    pub fn run(&self, run: &RunId) -> Result<RunRow, CatalogError> {
        self.read(|t| existing(t, run))
    }

    /// Runs that are not over, oldest first: running, or dead and to be recovered.
    pub fn unfinished_runs(&self) -> Result<Vec<RunRow>, CatalogError> {
        self.read(|t| select(t, &format!("{SELECT} WHERE ended_at IS NULL ORDER BY began_at, rowid"), []))
    }

    /// The newest runs, newest first. Of those that began at one moment, the one that was written down last is the newest.
    pub fn runs(&self, limit: u32) -> Result<Vec<RunRow>, CatalogError> {
        self.read(|t| select(t, &format!("{SELECT} ORDER BY began_at DESC, rowid DESC LIMIT ?1"), [limit]))
    }

    /// When the last backup of a lineage began, by `now`, that failed. One that somebody stopped, that was cut off, or that
    /// found another at work says nothing about its source; one that says it began later, nothing about today.
    pub fn failed_at(&self, lineage: &Lineage, now: Timestamp) -> Result<Option<Timestamp>, CatalogError> {
        let sql = format!(
            "{SELECT} WHERE verb = 'backup' AND host = ?1 AND source = ?2 \
             AND outcome NOT IN ('done', 'interrupted', 'busy') AND began_at <= ?3 ORDER BY began_at DESC, rowid DESC LIMIT 1"
        );
        let values = (lineage.host.as_str(), lineage.source.to_string(), nanos(now)?);
        Ok(self.read(|t| select(t, &sql, values))?.pop().map(|row| row.began_at))
    }

    fn advance(
        &self,
        run: &RunId,
        event: RunEvent,
        change: impl FnOnce(&mut RunRow),
    ) -> Result<(), CatalogError> {
        self.write(|t| {
            let mut row = existing(t, run)?;
            row.state = row
                .state
                .next(event)
                .map_err(|illegal| CatalogError::Illegal { run: run.clone(), illegal })?;
            change(&mut row);
            t.prepare_cached(
                "UPDATE runs SET state = ?2, ended_at = ?3, outcome = ?4, message = ?5, snapshot = ?6, \
                 uploads = ?7, journal = ?8, digest = ?9 WHERE id = ?1",
            )?
            .execute(params![
                run.as_str(),
                row.state.word(),
                row.ended_at.map(nanos).transpose()?,
                row.outcome.map(Outcome::word),
                row.message,
                row.snapshot.map(Number::get),
                json(&row.uploads)?,
                row.journal.as_ref().map(json).transpose()?,
                row_digest(&row)?
            ])?;
            Ok(())
        })
    }
}

/// The row of a run that begins.
pub(super) fn planned(new: &NewRun, now: Timestamp) -> RunRow {
    RunRow {
        id: new.id.clone(),
        verb: new.verb,
        host: new.host.clone(),
        source: new.source.clone(),
        store: new.store.clone(),
        state: RunState::Planned,
        pid: new.pid,
        began_at: now,
        ended_at: None,
        outcome: None,
        message: None,
        snapshot: None,
        uploads: Vec::new(),
        journal: None,
        cancel_requested: false,
        progress: Progress::default(),
    }
}

/// Adds a row, and removes the oldest where there are too many. It has no snapshot, upload or journal yet.
pub(super) fn insert(t: &Transaction<'_>, row: &RunRow) -> Result<(), CatalogError> {
    t.prepare_cached(
        "INSERT INTO runs (id, verb, host, source, store, state, pid, began_at, ended_at, outcome, message, \
         uploads, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, '[]', ?12)",
    )?
    .execute(params![
        row.id.as_str(),
        row.verb.word(),
        row.host.as_str(),
        row.source.as_ref().map(SourceName::to_string),
        row.store,
        row.state.word(),
        row.pid,
        nanos(row.began_at)?,
        row.ended_at.map(nanos).transpose()?,
        row.outcome.map(Outcome::word),
        row.message,
        row_digest(row)?
    ])?;
    // Row ids go up by one.
    let last = t.last_insert_rowid();
    t.prepare_cached("DELETE FROM runs WHERE rowid <= ?1 - ?2 AND ended_at IS NOT NULL")?
        .execute(params![last, RUNS_MAX])?;
    Ok(())
}

/// As much of a message as a row holds.
pub(super) fn cut(message: &str) -> String {
    message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned()
}

/// Over the first 14 values of [`SELECT`]; what follows changes often and decides nothing.
fn row_digest(row: &RunRow) -> Result<[u8; 16], CatalogError> {
    digest(&[
        &row.id.as_str(),
        &row.verb.word(),
        &row.host.as_str(),
        &row.source.as_ref().map(SourceName::to_string),
        &row.store,
        &row.state.word(),
        &row.pid,
        &nanos(row.began_at)?,
        &row.ended_at.map(nanos).transpose()?,
        &row.outcome.map(Outcome::word),
        &row.message,
        &row.snapshot.map(Number::get),
        &json(&row.uploads)?,
        &row.journal.as_ref().map(json).transpose()?,
    ])
}

fn json(value: &impl Serialize) -> Result<String, CatalogError> {
    serde_json::to_string(value).map_err(|e| CatalogError::Value(e.to_string()))
}

fn existing(t: &Transaction<'_>, run: &RunId) -> Result<RunRow, CatalogError> {
    let mut found = select(t, &format!("{SELECT} WHERE id = ?1"), [run.as_str()])?;
    found.pop().ok_or_else(|| CatalogError::NoRun(run.clone()))
}

/// The rows that `which`, a `WHERE` and an `ORDER BY`, names.
pub(super) fn rows_of(
    t: &Transaction<'_>,
    which: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<RunRow>, CatalogError> {
    select(t, &format!("{SELECT} {which}"), values)
}

fn select(
    t: &Transaction<'_>,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<RunRow>, CatalogError> {
    let mut query = t.prepare_cached(sql)?;
    let mut rows = query.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(from_row(row)?);
    }
    Ok(found)
}

/// A row as [`SELECT`] gives it.
fn from_row(row: &Row<'_>) -> Result<RunRow, CatalogError> {
    const WHAT: &str = "run";
    check_digest(row, 14, 14)?;
    let text = |i: usize| row.get::<_, String>(i);
    let maybe = |i: usize| row.get::<_, Option<String>>(i);
    let (verb, state) = (text(1)?, text(5)?);
    let outcome = maybe(9)?
        .map(|word| Outcome::ALL.into_iter().find(|one| one.word() == word).ok_or("unknown outcome"))
        .transpose();
    Ok(RunRow {
        id: decode(WHAT, text(0)?.parse())?,
        verb: decode(WHAT, Verb::ALL.into_iter().find(|one| one.word() == verb).ok_or("unknown verb"))?,
        host: decode(WHAT, text(2)?.parse())?,
        source: decode(WHAT, maybe(3)?.map(|text| text.parse()).transpose())?,
        store: maybe(4)?,
        state: decode(WHAT, RunState::ALL.into_iter().find(|s| s.word() == state).ok_or("unknown state"))?,
        pid: row.get(6)?,
        began_at: from_nanos(row.get(7)?)?,
        ended_at: row.get::<_, Option<i64>>(8)?.map(from_nanos).transpose()?,
        outcome: decode(WHAT, outcome)?,
        message: maybe(10)?,
        snapshot: decode(
            WHAT,
            row.get::<_, Option<u64>>(11)?.map(|n| Number::new(n).ok_or("not a number")).transpose(),
        )?,
        uploads: decode(WHAT, serde_json::from_str(&text(12)?))?,
        journal: decode(WHAT, maybe(13)?.map(|text| serde_json::from_str(&text)).transpose())?,
        cancel_requested: row.get(15)?,
        progress: Progress {
            entries: row.get(16)?,
            bytes: row.get(17)?,
            bytes_per_second: row.get(18)?,
            path: text(19)?,
        },
    })
}
