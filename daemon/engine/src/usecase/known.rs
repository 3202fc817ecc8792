//! What this host knows by name without asking the store: for completing what somebody types.
//!
//! Always true: nothing is fetched and nothing is changed; what cannot be had is left out, because an offer that is too
//! short costs nothing.

use std::collections::BTreeSet;

use crate::catalog::Filter;
use crate::failure::Failure;
use crate::usecase::cover::{self, Places};
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::opened::snapshot_id;
use crate::words::{SnapshotName, parse_lineage};

/// Nobody chooses from more.
const SNAPSHOTS_MAX: usize = 500;

/// Names of sources: those that are there, and those that were backed up.
pub async fn known_sources(host: &Host, places: &Places) -> Vec<String> {
    let backed_up = host.catalog().backed_up(&host.settings().host).unwrap_or_default();
    let mut names: BTreeSet<String> = backed_up.iter().map(ToString::to_string).collect();
    // A host on which Docker is down completes what it has backed up.
    let there = cover::sources(host, places).await.unwrap_or_default();
    names.extend(there.into_iter().map(|source| source.name));
    names.into_iter().collect()
}

/// Names of snapshots that fit what is typed: `SOURCE@latest` of each source, and the numbers, newest first, once the
/// source stands there. With `deleted`, those that can be undeleted instead.
pub fn known_snapshots(host: &Host, typed: &str, deleted: bool) -> Result<Vec<String>, Failure> {
    let named = typed.rsplit_once('@').and_then(|(lineage, _)| parse_lineage(lineage).ok());
    let (whose, source) = match &named {
        Some((whose, source)) => {
            let whose = whose.as_ref().unwrap_or(&host.settings().host);
            (Some(whose.clone()), Some(source.clone()))
        }
        None => (None, None),
    };
    let filter = Filter { store: Some(host.indexed_name()?), host: whose, source, deleted };
    let rows = host.catalog().snapshots(&filter).map_err(|e| catalog_failure("list snapshots", e))?;
    let mut names = Vec::new();
    if !deleted {
        let newest: BTreeSet<_> = rows.iter().map(|row| row.key.lineage()).collect();
        names.extend(newest.into_iter().map(|lineage| {
            let whose = Some(lineage.host).filter(|whose| *whose != host.settings().host);
            SnapshotName { host: whose, source: lineage.source, number: None }.to_string()
        }));
    }
    if named.is_some() || deleted {
        let wanted = rows.iter().rev().filter(|row| row.deleted_at.is_some() == deleted);
        let numbered = wanted.map(|row| snapshot_id(host, &row.key.lineage(), row.key.number));
        names.extend(numbered.take(SNAPSHOTS_MAX));
    }
    names.retain(|name| name.starts_with(typed));
    Ok(names)
}
