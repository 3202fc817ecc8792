//! A snapshot, found by what a person typed, checked, and ready to be read.

use std::sync::Arc;

use crate::failure::Failure;
use crate::format::key::PublicKey;
use crate::format::names::Lineage;
use crate::pipeline::reading::Reading;
use crate::port::store::ReadStore;
use crate::usecase::host::Host;
use crate::usecase::index::{self, Signed};
use crate::words::{HostName, Number, SnapshotName};

/// An opened snapshot.
pub(crate) struct Opened {
    /// Whose and which source.
    pub(crate) lineage: Lineage,
    /// Its manifest.
    pub(crate) signed: Signed,
    /// Its tables and frames.
    pub(crate) reading: Arc<Reading>,
}

impl Opened {
    /// `SOURCE@42`, with the host in front if it is not this one.
    pub(crate) fn id(&self, host: &Host) -> String {
        snapshot_id(host, &self.lineage, self.signed.manifest.number)
    }
}

/// How a snapshot is called on this host.
pub(crate) fn snapshot_id(host: &Host, lineage: &Lineage, number: Number) -> String {
    let name = SnapshotName {
        host: (lineage.host != host.settings().host).then(|| lineage.host.clone()),
        source: lineage.source.clone(),
        number: Some(number),
    };
    name.to_string()
}

/// Whose signatures count for a host's manifests: the key in its `owner.json`, and our own for ourselves.
pub(crate) async fn trusted(
    host: &Host,
    store: &dyn ReadStore,
    whose: &HostName,
) -> Result<Vec<PublicKey>, Failure> {
    let mut keys = Vec::new();
    if *whose == host.settings().host {
        keys.push(host.key()?.public());
    }
    keys.extend(index::owner(store, whose).await?.map(|owner| owner.public_key));
    keys.dedup();
    Ok(keys)
}

/// Finds and checks a snapshot. `latest` is the highest number that counts.
pub(crate) async fn open(host: &Host, name: &SnapshotName) -> Result<Opened, Failure> {
    let store = host.reading().await?;
    let lineage = Lineage {
        host: name.host.clone().unwrap_or_else(|| host.settings().host.clone()),
        source: name.source.clone(),
    };
    let number = match name.number {
        Some(number) => number,
        None => {
            let live = index::folder(&*store, &lineage).await?.live;
            live.into_iter().max().ok_or_else(|| nothing_of(&lineage, host))?
        }
    };
    let trusted = trusted(host, &*store, &lineage.host).await?;
    let signed = index::manifest(&*store, &lineage, number, false, &trusted).await?;
    let reading = Arc::new(Reading::new(store, lineage.clone(), signed.manifest.clone()));
    Ok(Opened { lineage, signed, reading })
}

/// There is no snapshot of a source.
pub(crate) fn nothing_of(lineage: &Lineage, host: &Host) -> Failure {
    let failure = Failure::not_found(format!(
        "there is no snapshot of `{}` of host `{}`",
        lineage.source, lineage.host
    ));
    if lineage.host == host.settings().host {
        failure.hint(format!(
            "`backupctl snapshots --all-hosts` shows what there is; `backupctl backup {}` makes one",
            lineage.source
        ))
    } else {
        failure.hint("`backupctl snapshots --all-hosts` shows what there is")
    }
}
