//! Removes packs that a run of this installation left behind, once nothing can need them any more.
//!
//! Always true: a pack is removed only if its run ended without it a day ago, and no manifest of the lineage, live
//! or soft-deleted, names it, nor one that is gone and that the catalog knows. A later snapshot may live on the pack of one that was deleted long ago.

use crate::format::manifest::Manifest;
use crate::usecase::backup::Deed;
use crate::usecase::index::{self, Folder, StoredPack};
use crate::usecase::opened;

/// A manifest that was still on its way when its run ended has arrived, or never will, after this.
const ORPHAN_AGE_SECONDS: i64 = 24 * 3600;

impl Deed<'_> {
    /// A failure here takes nothing from the snapshot that was just made; the next backup tries again.
    pub(super) async fn sweep_orphans(&self, before: &Folder, newest: &Manifest) {
        let mut suspects: Vec<&StoredPack> = before.packs.iter().filter(|pack| self.is_old(pack)).collect();
        forgive(&mut suspects, newest);
        // A manifest that the store has lost may be put back for as long as the catalog knows it.
        let Ok(known) = self.host.catalog().packs(&self.store.name(), self.lineage) else { return };
        suspects.retain(|pack| !known.iter().any(|known| is_named(pack, &known.name)));
        let live = before.live.iter().map(|number| (*number, false));
        let deleted = before.deleted.iter().map(|number| (*number, true));
        if suspects.is_empty() {
            return;
        }
        let Ok(keys) = opened::trusted(self.host, self.store, &self.lineage.host).await else { return };
        for (number, deleted) in live.chain(deleted) {
            // A manifest that cannot be read may need any pack: then nothing goes.
            let Ok(other) = index::manifest(self.store, self.lineage, number, deleted, &keys).await else {
                return;
            };
            forgive(&mut suspects, &other.manifest);
            if suspects.is_empty() {
                return;
            }
        }
        for orphan in suspects {
            if let Err(e) = self.store.delete(&orphan.key).await {
                tracing::debug!("delete orphan: {e}");
            }
        }
    }

    fn is_old(&self, pack: &StoredPack) -> bool {
        let now = self.host.clock().now().as_second();
        let ended = self.host.catalog().run(&pack.run).ok().and_then(|row| row.ended_at);
        ended.is_some_and(|at| now - at.as_second() > ORPHAN_AGE_SECONDS)
    }
}

/// What a manifest names is no orphan.
fn forgive(suspects: &mut Vec<&StoredPack>, manifest: &Manifest) {
    suspects.retain(|pack| !manifest.packs.iter().any(|named| is_named(pack, &named.name)));
}

fn is_named(pack: &StoredPack, name: &str) -> bool {
    pack.key.ends_with(&format!("/{name}"))
}
