//! What this host has seen of snapshots, written into its catalog under the name of the store at hand.

use crate::catalog::rebuild::index_row;
use crate::catalog::{CatalogError, SnapshotKey, Verified, VerifiedResult};
use crate::failure::Failure;
use crate::format::key::PublicKey;
use crate::format::manifest::PackRef;
use crate::format::names::Lineage;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::index::Signed;
use crate::words::Number;

impl Host {
    /// How the catalog calls a snapshot of the opened store.
    pub(crate) async fn snapshot_key(
        &self,
        lineage: &Lineage,
        number: Number,
    ) -> Result<SnapshotKey, Failure> {
        Ok(SnapshotKey {
            store: self.store().await?.name(),
            host: lineage.host.clone(),
            source: lineage.source.clone(),
            number,
        })
    }

    /// Remembers a snapshot that is in the store.
    pub(crate) async fn note_snapshot(
        &self,
        key: &str,
        signed: &Signed,
        signer: &PublicKey,
    ) -> Result<(), Failure> {
        let store = self.store().await?.name();
        let row = index_row(&store, key, &signed.bytes, Some(signer), self.clock().now());
        let row = row.map_err(|e| Failure::failed(format!("index `{key}`")).because(e))?;
        self.catalog().put_snapshot(&row).map_err(|e| catalog_failure(format!("index `{key}`"), e))
    }

    /// Remembers what a verification found.
    pub(crate) async fn note_verified(
        &self,
        lineage: &Lineage,
        signed: &Signed,
        good: bool,
    ) -> Result<(), Failure> {
        let number = signed.manifest.number;
        self.note_snapshot(&lineage.manifest(number), signed, &signed.signed_by).await?;
        let result = if good { VerifiedResult::Good } else { VerifiedResult::Damaged };
        let verified = Verified { at: self.clock().now(), result };
        let key = self.snapshot_key(lineage, number).await?;
        self.catalog()
            .mark_verified(&key, verified)
            .map_err(|e| catalog_failure(format!("note that `{key}` was verified"), e))
    }

    /// Remembers that a manifest is damaged, if that of its snapshot is known: then no other one goes in its favour.
    pub(crate) async fn note_damaged(&self, lineage: &Lineage, number: Number) -> Result<(), Failure> {
        let key = self.snapshot_key(lineage, number).await?;
        let verified = Verified { at: self.clock().now(), result: VerifiedResult::Damaged };
        match self.catalog().mark_verified(&key, verified) {
            Ok(()) | Err(CatalogError::NoSnapshot(_)) => Ok(()),
            Err(e) => Err(catalog_failure(format!("note that `{key}` is damaged"), e)),
        }
    }

    /// Remembers what a verification found of packs.
    pub(crate) async fn note_packs<'a>(
        &self,
        lineage: &Lineage,
        damaged: &[&'a PackRef],
        whole: &[&'a PackRef],
    ) -> Result<(), Failure> {
        if damaged.is_empty() && whole.is_empty() {
            return Ok(());
        }
        let names = |packs: &[&'a PackRef]| packs.iter().map(|pack| pack.name.as_str()).collect::<Vec<_>>();
        let store = self.store().await?.name();
        self.catalog()
            .note_packs(&store, lineage, &names(damaged), &names(whole), self.clock().now())
            .map_err(|e| catalog_failure(format!("note which packs of `{}` are damaged", lineage.source), e))
    }
}
