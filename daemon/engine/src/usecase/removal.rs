//! The steps of a deletion, in their order: tombstone, manifest, row; and for good: packs, row, tombstone.
//!
//! Always true: the tombstone is the manifest itself and is there before the manifest goes; a pack goes only while
//! no other manifest of the lineage, live or soft-deleted, names it, as the store lists them right before; and a list
//! that lacks one which the catalog knows and the store has takes no pack away.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Filter;
use crate::failure::{Class, Failure};
use crate::format::key::PublicKey;
use crate::format::manifest::Manifest;
use crate::format::names::Lineage;
use crate::port::store::{Put, ReadStore, Store, StoreErrorKind};
use crate::usecase::blame;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::index::{self, Folder, Signed};
use crate::usecase::opened::{snapshot_id, trusted};
use crate::words::Number;

/// Why a step was not done.
#[derive(Debug)]
pub(crate) enum Stuck {
    /// The store takes no deletes, from us or of this object, now.
    Denied(Failure),
    /// Something broke.
    Failed(Failure),
}

impl From<Failure> for Stuck {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Stuck> for Failure {
    fn from(stuck: Stuck) -> Self {
        match stuck {
            Stuck::Denied(failure) | Stuck::Failed(failure) => failure,
        }
    }
}

/// A lineage whose lock is held, in a store that may be written.
pub(crate) struct Removal<'a> {
    pub(crate) host: &'a Host,
    pub(crate) store: &'a dyn Store,
    pub(crate) lineage: &'a Lineage,
}

impl Removal<'_> {
    /// Deletes a live snapshot softly.
    pub(crate) async fn soften(&self, signed: &Signed) -> Result<(), Stuck> {
        let number = signed.manifest.number;
        let tombstone = self.lineage.deleted(number);
        let put = self.store.put(&tombstone, signed.bytes.clone(), Put::Replace).await;
        put.map_err(|e| blame::store(format!("write `{tombstone}`"), e))?;
        self.remove(&self.lineage.manifest(number)).await?;
        self.host.note_snapshot(&tombstone, signed, &signed.signed_by).await?;
        let key = self.host.snapshot_key(self.lineage, number).await?;
        let noted = self.host.catalog().mark_deleted(&key, self.host.clock().now());
        noted.map_err(|e| catalog_failure(format!("note that `{key}` is deleted"), e))?;
        Ok(())
    }

    /// Removes a soft-deleted snapshot for good; gives the bytes that became free. A live one is refused.
    pub(crate) async fn purge(&self, signed: &Signed, needs: &mut Needs) -> Result<u64, Stuck> {
        let number = signed.manifest.number;
        let live = self.lineage.manifest(number);
        let found =
            self.store.head(&live).await.map_err(|e| blame::store(format!("look for `{live}`"), e))?;
        if found.is_some() {
            // Its own packs are not asked for below, so this is where a snapshot that came back is spared.
            let id = snapshot_id(self.host, self.lineage, number);
            return Err(Failure::new(Class::Unsafe, format!("`{id}` is not deleted; `{live}` is there"))
                .hint("delete it first, if it is to go")
                .into());
        }
        let mut freed = 0;
        for (pack, length) in needs.unneeded(self.store, self.lineage, &signed.manifest).await? {
            self.remove(&pack).await?;
            freed += length;
        }
        // The row goes before the tombstone. The other way round a crash would leave the row of a number that, if it was
        // the newest, is free again: its next snapshot would be taken for a forgery. A tombstone without a row gets one
        // by the next look at the store.
        let key = self.host.snapshot_key(self.lineage, number).await?;
        let forgotten = self.host.catalog().forget(&key);
        forgotten.map_err(|e| catalog_failure(format!("forget `{key}`"), e))?;
        self.remove(&self.lineage.deleted(number)).await?;
        Ok(freed)
    }

    /// Brings a soft-deleted snapshot back.
    pub(crate) async fn bring_back(&self, signed: &Signed) -> Result<(), Failure> {
        let number = signed.manifest.number;
        let key = self.lineage.manifest(number);
        // With both there the manifest counts, so a crash in between has brought it back.
        match self.store.put(&key, signed.bytes.clone(), Put::IfAbsent).await {
            Ok(()) => {}
            Err(e) if e.kind == StoreErrorKind::Exists => {}
            Err(e) => return Err(blame::store(format!("write `{key}`"), e)),
        }
        let tombstone = self.lineage.deleted(number);
        let gone = self.store.delete(&tombstone).await;
        gone.map_err(|e| blame::store(format!("delete `{tombstone}`"), e))?;
        self.host.note_snapshot(&key, signed, &signed.signed_by).await
    }

    async fn remove(&self, key: &str) -> Result<(), Stuck> {
        self.store.delete(key).await.map_err(|e| {
            let denied = e.kind == StoreErrorKind::Denied;
            let failure = blame::store(format!("delete `{key}`"), e);
            if denied { Stuck::Denied(failure) } else { Stuck::Failed(failure) }
        })
    }
}

/// Which manifest of a lineage names which packs. Manifests never change, so each is read once; which of them there
/// are is asked anew each time.
pub(crate) struct Needs {
    keys: Vec<PublicKey>,
    packs: BTreeMap<Number, BTreeSet<String>>,
    /// Of which the catalog knows.
    known: BTreeSet<Number>,
}

impl Needs {
    pub(crate) async fn of(host: &Host, store: &dyn ReadStore, lineage: &Lineage) -> Result<Self, Failure> {
        let known = host.catalog().snapshots(&Filter::of(&store.name(), lineage));
        let known = known.map_err(|e| catalog_failure(format!("look at `{}`", lineage.source), e))?;
        Ok(Self {
            keys: trusted(host, store, &lineage.host).await?,
            packs: BTreeMap::new(),
            known: known.into_iter().map(|row| row.key.number).collect(),
        })
    }

    /// Reads a manifest of the lineage.
    pub(crate) async fn manifest(
        &self,
        removal: &Removal<'_>,
        number: Number,
        deleted: bool,
    ) -> Result<Signed, Failure> {
        index::manifest(removal.store, removal.lineage, number, deleted, &self.keys).await
    }

    /// Packs of this snapshot that no other manifest of the lineage names, with their lengths.
    pub(crate) async fn unneeded(
        &mut self,
        store: &dyn ReadStore,
        lineage: &Lineage,
        manifest: &Manifest,
    ) -> Result<Vec<(String, u64)>, Failure> {
        let folder = index::folder(store, lineage).await?;
        self.demand_all(store, lineage, &folder).await?;
        let mut unneeded: Vec<_> = manifest.packs.iter().collect();
        let live = folder.live.iter().map(|number| (*number, false));
        let deleted = folder.deleted.iter().map(|number| (*number, true));
        for (number, deleted) in live.chain(deleted).filter(|(number, _)| *number != manifest.number) {
            if unneeded.is_empty() {
                break;
            }
            if !self.packs.contains_key(&number) {
                // A manifest that cannot be read may need any pack: then nothing goes.
                let other = index::manifest(store, lineage, number, deleted, &self.keys).await?.manifest;
                self.packs.insert(number, other.packs.into_iter().map(|pack| pack.name).collect());
            }
            unneeded.retain(|pack| !self.packs[&number].contains(&pack.name));
        }
        let key = |name: &str| format!("{}{name}", lineage.prefix());
        Ok(unneeded.into_iter().map(|pack| (key(&pack.name), pack.length)).collect())
    }

    /// A manifest that is known and not listed is asked for by its name: where lists may be out of date, none of them
    /// says what nobody needs.
    async fn demand_all(
        &mut self,
        store: &dyn ReadStore,
        lineage: &Lineage,
        folder: &Folder,
    ) -> Result<(), Failure> {
        let listed: BTreeSet<Number> = folder.live.iter().chain(&folder.deleted).copied().collect();
        for number in self.known.difference(&listed) {
            for key in [lineage.manifest(*number), lineage.deleted(*number)] {
                let found = store.head(&key).await;
                if found.map_err(|e| blame::store(format!("look for `{key}`"), e))?.is_some() {
                    let what = format!("find out what nobody needs of `{}`", lineage.source);
                    return Err(Failure::failed(what)
                        .because(format!("the store's list lacks `{key}`, which is there"))
                        .hint("no pack was removed; lists of this store are out of date: try again later"));
                }
            }
        }
        // What is gone is not asked for again.
        self.known.retain(|number| listed.contains(number));
        Ok(())
    }
}
