//! The newest of each source: what tells whether it is protected.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::catalog::row::{decode, from_nanos};
use crate::catalog::run::{RunRow, Verb};
use crate::catalog::runs::rows_of;
use crate::catalog::{Catalog, CatalogError};
use crate::words::{HostName, SourceName};

impl Catalog {
    /// The newest backup runs of each source of a host, at most `each` for one, newest first.
    pub fn latest_backups(&self, host: &HostName, each: u32) -> Result<Vec<RunRow>, CatalogError> {
        self.latest_runs(host, Verb::Backup, each)
    }

    /// The same of drills.
    pub fn latest_drills(&self, host: &HostName, each: u32) -> Result<Vec<RunRow>, CatalogError> {
        self.latest_runs(host, Verb::Drill, each)
    }

    fn latest_runs(&self, host: &HostName, verb: Verb, each: u32) -> Result<Vec<RunRow>, CatalogError> {
        const NEWEST: &str = "WHERE rowid IN (SELECT id FROM (SELECT rowid AS id, row_number() OVER \
             (PARTITION BY source ORDER BY began_at DESC, rowid DESC) AS nth FROM runs \
             WHERE host = ?1 AND verb = ?2 AND source IS NOT NULL) WHERE nth <= ?3) \
             ORDER BY began_at DESC, rowid DESC";
        self.read(|t| rows_of(t, NEWEST, rusqlite::params![host.as_str(), verb.word(), each]))
    }

    /// When the newest whole snapshot of each source of a host was taken; deleted ones do not count.
    pub fn latest_snapshots(&self, host: &HostName) -> Result<BTreeMap<SourceName, Timestamp>, CatalogError> {
        self.read(|t| {
            let mut query = t.prepare_cached(
                "SELECT s.source, max(n.taken_at) FROM snapshots n JOIN sources s ON s.id = n.source \
                 WHERE s.host = ?1 AND n.deleted_at IS NULL AND n.partial = 0 GROUP BY s.source",
            )?;
            let mut rows = query.query([host.as_str()])?;
            let mut latest = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let source: SourceName = decode("source", row.get::<_, String>(0)?.parse())?;
                latest.insert(source, from_nanos(row.get(1)?)?);
            }
            Ok(latest)
        })
    }

    /// The sources of a host that have snapshots, in any store.
    pub fn backed_up(&self, host: &HostName) -> Result<Vec<SourceName>, CatalogError> {
        self.read(|t| {
            let mut query = t.prepare_cached("SELECT DISTINCT source FROM sources WHERE host = ?1")?;
            let mut rows = query.query([host.as_str()])?;
            let mut sources = Vec::new();
            while let Some(row) = rows.next()? {
                sources.push(decode("source", row.get::<_, String>(0)?.parse())?);
            }
            Ok(sources)
        })
    }
}
