//! Pins: a person says that a snapshot stays, whatever retention says.
//!
//! Always true: a snapshot whose pin was reported is there. A pin takes no lock, so that it can be set while a long
//! backup runs; a prune looks for pins again right before each delete.

use crate::catalog::Pin;
use crate::failure::{Class, Failure};
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::opened::{Opened, open};
use crate::words::SnapshotName;

/// Pins a snapshot, and gives its id.
pub async fn pin(host: &Host, name: &SnapshotName, note: &str) -> Result<String, Failure> {
    let opened = own(host, name).await?;
    let number = opened.signed.manifest.number;
    let key = host.snapshot_key(&opened.lineage, number).await?;
    let pin = Pin { key: key.clone(), at: host.clock().now(), note: note.to_owned() };
    host.catalog().pin(&pin).map_err(|e| catalog_failure(format!("pin `{name}`"), e))?;
    // A prune may have been at it before the pin was there.
    let still = open(host, &SnapshotName { number: Some(number), ..name.clone() }).await;
    if let Err(failure) = still {
        host.catalog().unpin(&key).map_err(|e| catalog_failure(format!("unpin `{name}`"), e))?;
        return Err(failure);
    }
    Ok(opened.id(host))
}

/// Takes a pin away, and gives the snapshot's id.
pub async fn unpin(host: &Host, name: &SnapshotName) -> Result<String, Failure> {
    let opened = own(host, name).await?;
    let key = host.snapshot_key(&opened.lineage, opened.signed.manifest.number).await?;
    let was = host.catalog().unpin(&key).map_err(|e| catalog_failure(format!("unpin `{name}`"), e))?;
    if !was {
        return Err(Failure::not_found(format!("`{}` is not pinned", opened.id(host)))
            .hint(format!("`backupctl snapshots {}` shows what is", opened.lineage.source)));
    }
    Ok(opened.id(host))
}

async fn own(host: &Host, name: &SnapshotName) -> Result<Opened, Failure> {
    let opened = open(host, name).await?;
    if opened.lineage.host == host.settings().host {
        return Ok(opened);
    }
    // A host prunes its own lineages alone, and by its own pins.
    Err(Failure::new(Class::Unsafe, format!("`{name}` is not this host's"))
        .hint("pin it on the host that writes it"))
}
