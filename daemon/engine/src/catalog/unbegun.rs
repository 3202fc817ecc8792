//! Backups that failed before their run could begin: no Docker, no store, no such source.
//!
//! Always true: such a row is over as it is written, so that no recovery ever takes it for a dead run's.

use jiff::Timestamp;

use crate::catalog::row::decode;
use crate::catalog::run::{NewRun, Outcome};
use crate::catalog::run_state::RunEvent;
use crate::catalog::runs::{cut, insert, planned};
use crate::catalog::{Catalog, CatalogError};
use crate::failure::Class;
use crate::format::names::Lineage;
use crate::words::RunId;

impl Catalog {
    /// Writes the row of a run that has failed already.
    pub fn note_unbegun(
        &self,
        new: &NewRun,
        class: Class,
        message: &str,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let mut row = planned(new, now);
        let illegal = |illegal| CatalogError::Illegal { run: new.id.clone(), illegal };
        row.state = row.state.next(RunEvent::Finish).map_err(illegal)?;
        (row.ended_at, row.outcome, row.message) = (Some(now), Some(Outcome::Not(class)), Some(cut(message)));
        self.write(move |t| insert(t, &row))
    }

    /// The backup of a lineage that was written down last, whatever its time says.
    pub fn last_backup(&self, lineage: &Lineage) -> Result<Option<RunId>, CatalogError> {
        const SQL: &str = "SELECT id FROM runs WHERE verb = 'backup' AND host = ?1 AND source = ?2 \
                           ORDER BY rowid DESC LIMIT 1";
        self.read(|t| {
            let mut query = t.prepare_cached(SQL)?;
            let mut rows = query.query((lineage.host.as_str(), lineage.source.to_string()))?;
            let Some(row) = rows.next()? else { return Ok(None) };
            decode("run", row.get::<_, String>(0)?.parse()).map(Some)
        })
    }
}
