//! Containers that are held while somebody reads what they write: noted before they are touched, forgotten once
//! they run again.

use rusqlite::{Row, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::catalog::journal::StoppedContainer;
use crate::catalog::row::{check_digest, decode, digest};
use crate::catalog::{Catalog, CatalogError};
use crate::words::RunId;

/// How a container is held, and what it takes to let it go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum How {
    /// Its processes are frozen by the kernel.
    Pause,
    /// It is stopped.
    Stop,
    /// A program that its policy names was run in it, and another one lets it go.
    Hooks {
        /// The first one: program and arguments. It may be empty, and outlives whoever has started it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        before: Vec<String>,
        /// The other one. It may be empty, too.
        after: Vec<String>,
        /// How long either may take.
        patience_seconds: u64,
    },
    /// Redis in it rewrites no log.
    Redis {
        /// Its `auto-aof-rewrite-percentage`, which it gets back.
        percentage: String,
    },
}

impl How {
    /// One word, for rows.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Stop => "stop",
            Self::Hooks { .. } => "hooks",
            Self::Redis { .. } => "redis",
        }
    }

    /// What a row says of a container that is held in this way.
    fn to_json(&self, was: &StoppedContainer) -> serde_json::Result<String> {
        match self {
            Self::Pause | Self::Stop => serde_json::to_string(was),
            Self::Hooks { .. } | Self::Redis { .. } => serde_json::to_string(&(was, self)),
        }
    }

    fn from_json(word: &str, json: &str) -> Result<(StoppedContainer, Self), String> {
        let broken = |e: serde_json::Error| e.to_string();
        match word {
            "pause" => Ok((serde_json::from_str(json).map_err(broken)?, Self::Pause)),
            "stop" => Ok((serde_json::from_str(json).map_err(broken)?, Self::Stop)),
            "hooks" | "redis" => {
                let (was, how): (StoppedContainer, Self) = serde_json::from_str(json).map_err(broken)?;
                if how.word() == word { Ok((was, how)) } else { Err(format!("`{word}` with {}", how.word())) }
            }
            _ => Err("unknown way to hold".to_owned()),
        }
    }
}

/// One container that a run holds, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Who holds it.
    pub run: RunId,
    /// Its turn; they are let go in reverse.
    pub place: u32,
    /// How.
    pub how: How,
    /// What it was like before.
    pub was: StoppedContainer,
    /// It is held, or is about to be. Otherwise nobody has touched it.
    pub begun: bool,
}

impl Catalog {
    /// Claims containers for a run, all or none, in the order in which they will be held. Gives another run that has
    /// one of them.
    pub fn claim(
        &self,
        run: &RunId,
        how: &How,
        containers: &[StoppedContainer],
    ) -> Result<Option<RunId>, CatalogError> {
        self.write(|t| {
            let taken = select(t)?;
            let theirs = |freeze: &&Freeze| containers.iter().any(|one| one.id == freeze.was.id);
            if let Some(freeze) = taken.iter().find(theirs) {
                return Ok(Some(freeze.run.clone()));
            }
            for (place, was) in (0..).zip(containers) {
                let (run, how, was) = (run.clone(), how.clone(), was.clone());
                put(t, &Freeze { run, place, how, was, begun: false })?;
            }
            Ok(None)
        })
    }

    /// A container that was claimed is about to be held, in this way.
    pub fn begin_freeze(&self, container: &str, how: &How) -> Result<(), CatalogError> {
        self.write(|t| {
            let mut found = select(t)?;
            found.retain(|freeze| freeze.was.id == container);
            match found.pop() {
                Some(freeze) => put(t, &Freeze { begun: true, how: how.clone(), ..freeze }),
                None => Err(CatalogError::Value(format!("container `{container}` was not claimed"))),
            }
        })
    }

    /// It runs again as it did, or nobody has touched it.
    pub fn end_freeze(&self, container: &str) -> Result<(), CatalogError> {
        self.write(|t| {
            t.prepare_cached("DELETE FROM freezes WHERE container = ?1")?.execute([container])?;
            Ok(())
        })
    }

    /// All that is held or claimed, run by run, in the order in which it was.
    pub fn freezes(&self) -> Result<Vec<Freeze>, CatalogError> {
        self.read(select)
    }
}

fn put(t: &Transaction<'_>, freeze: &Freeze) -> Result<(), CatalogError> {
    let Freeze { run, place, how, was, begun } = freeze;
    let json = how.to_json(was).map_err(|e| CatalogError::Value(e.to_string()))?;
    let digest = digest(&[&was.id, &run.as_str(), place, &how.word(), &json, begun])?;
    t.prepare_cached("INSERT OR REPLACE INTO freezes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![was.id, run.as_str(), place, how.word(), json, begun, digest])?;
    Ok(())
}

fn select(t: &Transaction<'_>) -> Result<Vec<Freeze>, CatalogError> {
    let mut query = t.prepare_cached(
        "SELECT container, run, place, how, was, begun, digest FROM freezes ORDER BY run, place",
    )?;
    let mut rows = query.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(from_row(row)?);
    }
    Ok(found)
}

fn from_row(row: &Row<'_>) -> Result<Freeze, CatalogError> {
    const WHAT: &str = "freeze";
    check_digest(row, 6, 6)?;
    let text = |i: usize| row.get::<_, String>(i);
    let (was, how) = decode(WHAT, How::from_json(&text(3)?, &text(4)?))?;
    Ok(Freeze { run: decode(WHAT, text(1)?.parse())?, place: row.get(2)?, how, was, begun: row.get(5)? })
}
