//! The newest of each source: what tells whether it is protected.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::catalog::row::{decode, from_nanos, nanos};
use crate::catalog::run::{RunRow, Verb};
use crate::catalog::runs::rows_of;
use crate::catalog::snapshots::rows_where;
use crate::catalog::{Catalog, CatalogError, Part, SnapshotRow};
use crate::format::names::Lineage;
use crate::words::{HostName, SourceName};

/// Times, by store and source.
pub type LatestSnapshots = BTreeMap<String, BTreeMap<SourceName, Timestamp>>;

impl Catalog {
    /// The newest backup runs of each source of a host, at most `each` for one, newest first. None that is over and says
    /// that it began after `until`: a clock that was ahead would hide all that came later.
    pub fn latest_backups(
        &self,
        host: &HostName,
        each: u32,
        until: Option<Timestamp>,
    ) -> Result<Vec<RunRow>, CatalogError> {
        self.latest_runs(host, Verb::Backup, each, until)
    }

    /// The same of drills.
    pub fn latest_drills(
        &self,
        host: &HostName,
        each: u32,
        until: Option<Timestamp>,
    ) -> Result<Vec<RunRow>, CatalogError> {
        self.latest_runs(host, Verb::Drill, each, until)
    }

    fn latest_runs(
        &self,
        host: &HostName,
        verb: Verb,
        each: u32,
        until: Option<Timestamp>,
    ) -> Result<Vec<RunRow>, CatalogError> {
        const NEWEST: &str = "WHERE rowid IN (SELECT id FROM (SELECT rowid AS id, row_number() OVER \
             (PARTITION BY source ORDER BY began_at DESC, rowid DESC) AS nth FROM runs \
             WHERE host = ?1 AND verb = ?2 AND source IS NOT NULL \
             AND (?4 IS NULL OR began_at <= ?4 OR ended_at IS NULL)) WHERE nth <= ?3) \
             ORDER BY began_at DESC, rowid DESC";
        let until = until.map(nanos).transpose()?;
        self.read(|t| rows_of(t, NEWEST, rusqlite::params![host.as_str(), verb.word(), each, until]))
    }

    /// By store, when the newest whole snapshot of each source of a host was taken; deleted ones do not count, and none
    /// that says it was taken after `until`.
    pub fn latest_snapshots(
        &self,
        host: &HostName,
        until: Option<Timestamp>,
    ) -> Result<LatestSnapshots, CatalogError> {
        let until = until.map(nanos).transpose()?;
        self.read_of(&[Part::Snapshots], |t| {
            let mut query = t.prepare_cached(
                "SELECT g.name, s.source, max(n.taken_at) FROM snapshots n JOIN sources s ON s.id = n.source \
                 JOIN stores g ON g.id = s.store \
                 WHERE s.host = ?1 AND n.deleted_at IS NULL AND n.partial = 0 \
                 AND (?2 IS NULL OR n.taken_at <= ?2) GROUP BY n.source",
            )?;
            let mut rows = query.query(rusqlite::params![host.as_str(), until])?;
            let mut latest = LatestSnapshots::new();
            while let Some(row) = rows.next()? {
                let source: SourceName = decode("source", row.get::<_, String>(1)?.parse())?;
                latest.entry(row.get(0)?).or_default().insert(source, from_nanos(row.get(2)?)?);
            }
            Ok(latest)
        })
    }

    /// The newest snapshots of each source of a host in the order in which they were taken, at most `each` for one;
    /// deleted ones do not count.
    pub fn newest_snapshots(&self, host: &HostName, each: u32) -> Result<Vec<SnapshotRow>, CatalogError> {
        const NEWEST: &str = "WHERE n.rowid IN (SELECT id FROM (SELECT m.rowid AS id, row_number() OVER \
             (PARTITION BY o.source ORDER BY m.taken_at DESC, m.number DESC) AS nth FROM snapshots m \
             JOIN sources o ON o.id = m.source WHERE o.host = ?1 AND m.deleted_at IS NULL) WHERE nth <= ?2) \
             ORDER BY n.taken_at, n.number";
        self.read_of(&[Part::Snapshots], |t| rows_where(t, NEWEST, rusqlite::params![host.as_str(), each]))
    }

    /// The stores of which snapshots are known, in the order in which they came to be.
    pub fn stores(&self) -> Result<Vec<String>, CatalogError> {
        self.read(|t| {
            let mut query = t.prepare_cached("SELECT name FROM stores ORDER BY id")?;
            let names = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(names)
        })
    }

    /// The lineages of a store of which snapshots are known, of one host or of all.
    pub fn lineages(&self, store: &str, host: Option<&HostName>) -> Result<Vec<Lineage>, CatalogError> {
        self.read(|t| {
            let mut query = t.prepare_cached(
                "SELECT s.host, s.source FROM sources s JOIN stores g ON g.id = s.store \
                 WHERE g.name = ?1 AND (?2 IS NULL OR s.host = ?2) ORDER BY s.host, s.source",
            )?;
            let mut rows = query.query(rusqlite::params![store, host.map(HostName::as_str)])?;
            let mut lineages = Vec::new();
            while let Some(row) = rows.next()? {
                let host = decode("host", row.get::<_, String>(0)?.parse())?;
                lineages.push(Lineage { host, source: decode("source", row.get::<_, String>(1)?.parse())? });
            }
            Ok(lineages)
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
