//! What drills found: for each one the snapshot, the verdict, how long its restore took, and the last words of the
//! programs that were started on it. This host's own: no store says it again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use serde::Serialize;

use crate::catalog::row::{check_digest, decode, digest, from_nanos, nanos};
use crate::catalog::{Catalog, CatalogError, SnapshotKey};
use crate::words::{HostName, Number, RunId, SourceName};

/// So many drills of one source are remembered.
pub const DRILLS_MAX: u32 = 100;

/// Longer words are cut.
const WHAT_BYTES_MAX: usize = 4 << 10;

/// Of longer output the beginning is cut.
pub const OUTPUT_BYTES_MAX: usize = 16 << 10;

/// What a drill found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DrillResult {
    /// The checker found nothing wrong.
    Proven,
    /// The checker found something wrong, or the server did not come up on the data.
    Unproven,
    /// It was restored, and the checker is missing.
    Unchecked,
    /// The drill itself could not be carried out.
    Failed,
}

impl DrillResult {
    const ALL: [Self; 4] = [Self::Proven, Self::Unproven, Self::Unchecked, Self::Failed];

    /// One word, for rows and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Unproven => "unproven",
            Self::Unchecked => "unchecked",
            Self::Failed => "failed",
        }
    }
}

/// One drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillRow {
    /// Its run.
    pub run: RunId,
    /// Of which snapshot.
    pub key: SnapshotKey,
    /// When it ended.
    pub at: Timestamp,
    /// Who judged: `postgres`, `files`.
    pub checker: String,
    /// What was found.
    pub result: DrillResult,
    /// In words.
    pub what: String,
    /// How long the restore took, in milliseconds, if it came to its end.
    pub restore_ms: Option<u64>,
    /// How long all of it took.
    pub ms: u64,
}

impl Catalog {
    /// A drill is over. Of a source the newest [`DRILLS_MAX`] are kept.
    pub fn note_drill(&self, drill: &DrillRow, output: &str) -> Result<(), CatalogError> {
        let what = &drill.what[..drill.what.floor_char_boundary(WHAT_BYTES_MAX)];
        let from = output.len().saturating_sub(OUTPUT_BYTES_MAX);
        let output = &output[output.ceil_char_boundary(from)..];
        let DrillRow { run, key, at, checker, result, restore_ms, ms, .. } = drill;
        let (host, source, at) = (key.host.as_str(), key.source.to_string(), nanos(*at)?);
        let (run, number, word) = (run.as_str(), key.number.get(), result.word());
        let digest =
            digest(&[&run, &key.store, &host, &source, &number, &at, checker, &word, &what, restore_ms, ms])?;
        self.write(|t| {
            t.prepare_cached(
                "INSERT OR REPLACE INTO drills VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                run, key.store, host, source, number, at, checker, word, what, restore_ms, ms, digest, output
            ])?;
            t.prepare_cached(
                "DELETE FROM drills WHERE store = ?1 AND host = ?2 AND source = ?3 AND run NOT IN \
                 (SELECT run FROM drills WHERE store = ?1 AND host = ?2 AND source = ?3 ORDER BY at DESC LIMIT ?4)",
            )?
            .execute(params![key.store, host, source, DRILLS_MAX])?;
            Ok(())
        })
    }

    /// The drills in a store, of one host or one source where one is named; the newest last.
    pub fn drills(
        &self,
        store: &str,
        host: Option<&HostName>,
        source: Option<&SourceName>,
    ) -> Result<Vec<DrillRow>, CatalogError> {
        self.read(|t| select(t, store, host, source))
    }

    /// The newest drill that judged each snapshot. One that could not be carried out says nothing of it.
    pub fn judged(
        &self,
        store: &str,
        host: Option<&HostName>,
        source: Option<&SourceName>,
    ) -> Result<BTreeMap<SnapshotKey, DrillRow>, CatalogError> {
        let mut drills = self.drills(store, host, source)?;
        drills.retain(|drill| drill.result != DrillResult::Failed);
        Ok(drills.into_iter().map(|drill| (drill.key.clone(), drill)).collect())
    }

    /// The end of what the programs of a drill said; nothing of one that is not known.
    pub fn drill_output(&self, run: &RunId) -> Result<String, CatalogError> {
        self.read(|t| {
            let output = t
                .prepare_cached("SELECT output FROM drills WHERE run = ?1")?
                .query_row([run.as_str()], |row| row.get(0))
                .optional()?;
            Ok(output.unwrap_or_default())
        })
    }
}

fn select(
    t: &Transaction<'_>,
    store: &str,
    host: Option<&HostName>,
    source: Option<&SourceName>,
) -> Result<Vec<DrillRow>, CatalogError> {
    let mut query = t.prepare_cached(
        "SELECT run, store, host, source, number, at, checker, result, what, restore_ms, ms, digest FROM drills \
         WHERE store = ?1 AND (?2 IS NULL OR host = ?2) AND (?3 IS NULL OR source = ?3) ORDER BY at, run",
    )?;
    let values = params![store, host.map(HostName::as_str), source.map(SourceName::to_string)];
    let mut rows = query.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(from_row(row)?);
    }
    Ok(found)
}

fn from_row(row: &Row<'_>) -> Result<DrillRow, CatalogError> {
    const WHAT: &str = "drill";
    check_digest(row, 11, 11)?;
    let text = |i: usize| row.get::<_, String>(i);
    let result = text(7)?;
    let known = DrillResult::ALL.into_iter().find(|one| one.word() == result);
    Ok(DrillRow {
        run: decode(WHAT, text(0)?.parse())?,
        key: SnapshotKey {
            store: text(1)?,
            host: decode(WHAT, text(2)?.parse())?,
            source: decode(WHAT, text(3)?.parse())?,
            number: decode(WHAT, Number::new(row.get(4)?).ok_or("not a number"))?,
        },
        at: from_nanos(row.get(5)?)?,
        checker: text(6)?,
        result: decode(WHAT, known.ok_or("unknown result"))?,
        what: text(8)?,
        restore_ms: row.get(9)?,
        ms: row.get(10)?,
    })
}
