//! Events: what happened on this host, for people. Bounded in number and length.

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use crate::catalog::row::{decode, from_nanos, nanos};
use crate::catalog::{Catalog, CatalogError};
use crate::words::RunId;

/// So many are kept; older ones go.
pub const EVENTS_MAX: u64 = 10_000;

/// Longer texts are cut.
pub const EVENT_TEXT_BYTES_MAX: usize = 4096;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// Someone should look.
    Warning,
    /// Someone must look.
    Alarm,
}

impl Level {
    /// One word, for rows and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Alarm => "alarm",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Alarm].into_iter().find(|level| level.word() == word)
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// In which run, if in one.
    pub run: Option<RunId>,
    /// How much it matters.
    pub level: Level,
    /// In words, without secrets.
    pub text: String,
}

impl Catalog {
    /// Remembers an event, and forgets the oldest ones beyond [`EVENTS_MAX`].
    pub fn add_event(&self, event: &Event) -> Result<(), CatalogError> {
        self.write(|t| insert(t, event))
    }

    /// The newest events, newest first.
    pub fn events(&self, limit: u32) -> Result<Vec<Event>, CatalogError> {
        self.read(|t| {
            let mut query =
                t.prepare_cached("SELECT at, run, level, text FROM events ORDER BY id DESC LIMIT ?1")?;
            let mut rows = query.query([limit])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                let (run, level): (Option<String>, String) = (row.get(1)?, row.get(2)?);
                events.push(Event {
                    at: from_nanos(row.get(0)?)?,
                    run: run.map(|run| decode("event", run.parse())).transpose()?,
                    level: decode("event", Level::parse(&level).ok_or("unknown level"))?,
                    text: row.get(3)?,
                });
            }
            Ok(events)
        })
    }
}

pub(super) fn insert(t: &Transaction<'_>, event: &Event) -> Result<(), CatalogError> {
    let end = event.text.floor_char_boundary(EVENT_TEXT_BYTES_MAX);
    t.prepare_cached("INSERT INTO events (at, run, level, text) VALUES (?1, ?2, ?3, ?4)")?.execute(
        params![
            nanos(event.at)?,
            event.run.as_ref().map(RunId::as_str),
            event.level.word(),
            &event.text[..end]
        ],
    )?;
    let last = t.last_insert_rowid();
    t.prepare_cached("DELETE FROM events WHERE id <= ?1 - ?2")?.execute(params![last, EVENTS_MAX])?;
    Ok(())
}
