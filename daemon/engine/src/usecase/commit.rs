//! The commit of a backup: the manifest, signed, PUT under the name that follows from the one before.

use std::collections::BTreeMap;

use archive::layout::FORMAT;
use jiff::Timestamp;
use policies::policy::{self, Mode, OnUnfreezable};

use crate::failure::{Class, Failure};
use crate::format::manifest::{Consistency, MANIFEST_BYTES_MAX, Manifest, Parent, SnapshotKind};
use crate::format::signed;
use crate::port::store::{Put, StoreErrorKind};
use crate::usecase::backup::Deed;
use crate::usecase::blame;
use crate::usecase::index::Signed;
use crate::usecase::notes::written_meanwhile;
use crate::usecase::pass::Passed;
use crate::usecase::watch::Told;
use crate::words::Number;

impl Deed<'_> {
    pub(super) async fn manifest(
        &self,
        number: Number,
        taken_at: Timestamp,
        passed: Passed,
        parent: Option<&Signed>,
    ) -> Result<Manifest, Failure> {
        let (consistency, freeze_ms) = match passed.held {
            Some(held) => (held.consistency, held.millis),
            // Asked again: a container that started while the source was read wrote into the copy.
            None if self.is_written().await? => (Consistency::Live, 0),
            None => (Consistency::Idle, 0),
        };
        let is_still = matches!(
            consistency,
            Consistency::Idle
                | Consistency::Paused
                | Consistency::Stopped
                | Consistency::Mysql
                | Consistency::Rrd
        );
        // Somebody who is no container, or is none that was held. Where nobody was, others answer for what is written.
        let consistency = match is_still && passed.packed.writes > 0 {
            true => Consistency::Live,
            false => consistency,
        };
        let made_by = self.made_by().await?;
        Ok(Manifest { consistency, freeze_ms, made_by, ..self.draft(number, taken_at, passed, parent) })
    }

    /// A snapshot that is less than its policy promises is none, unless the policy allows it.
    pub(super) fn as_promised(&self, manifest: &Manifest, was_written: bool) -> Result<(), Failure> {
        let policy::Consistency { mode, on_unfreezable, .. } = self.request.consistency;
        let is_live = manifest.consistency == Consistency::Live && mode != Mode::Live;
        match on_unfreezable {
            OnUnfreezable::Refuse if is_live && was_written => {
                self.or_live(&written_meanwhile(&manifest.notes))
            }
            OnUnfreezable::Refuse if is_live => {
                self.or_live("a container that writes to it was started meanwhile")
            }
            OnUnfreezable::Refuse | OnUnfreezable::Live => Ok(()),
        }
    }

    /// What the snapshot is made with.
    pub(super) async fn made_by(&self) -> Result<BTreeMap<String, String>, Failure> {
        let about = self.docker.about().await.map_err(|e| blame::docker("ask Docker for its version", e))?;
        Ok(BTreeMap::from([
            ("backupd".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("docker".to_owned(), about.version),
            ("helper".to_owned(), self.docker.helper_image_id()),
        ]))
    }

    /// The manifest, but for what Docker has to be asked for.
    pub(super) fn draft(
        &self,
        number: Number,
        taken_at: Timestamp,
        passed: Passed,
        parent: Option<&Signed>,
    ) -> Manifest {
        let before = parent.map(|parent| &parent.manifest).filter(|_| passed.incremental);
        let Passed { packs, packed, .. } = passed;
        Manifest {
            format: FORMAT,
            host: self.lineage.host.clone(),
            source: self.lineage.source.clone(),
            number,
            run: self.run.id().clone(),
            taken_at,
            finished_at: self.host.clock().now(),
            kind: if before.is_some() { SnapshotKind::Incremental } else { SnapshotKind::Full },
            consistency: Consistency::Live,
            freeze_ms: 0,
            set: self.set.clone(),
            by_hand: self.request.by_hand,
            totals: packed.totals,
            packs,
            entries: packed.entries,
            pages: packed.pages,
            full_at: before.map(Manifest::full_taken_at),
            notes: packed.notes,
            identity: packed.identity,
            volume: self.source.shape.clone(),
            users: self.source.users_of_source(),
            imported: None,
            made_by: BTreeMap::new(),
            parent: parent.map(|parent| Parent { number: parent.manifest.number, hash: parent.hash }),
        }
    }

    /// PUTs the manifest: with it the snapshot is, without it it is not.
    pub(super) async fn commit(&self, manifest: Manifest) -> Result<Signed, Failure> {
        let key = self.lineage.manifest(manifest.number);
        let number = manifest.number;
        let what = || format!("commit snapshot `{}@{number}`", self.lineage.source);
        let host_key = self.host.key()?;
        let bytes = signed::seal(&manifest, host_key).map_err(|e| Failure::failed(what()).because(e))?;
        self.watch.tell(Told::Step(format!("committing {}@{number}", self.lineage.source)));
        self.run.committing(number)?;
        let refused = match self.store.put(&key, bytes.clone(), Put::IfAbsent).await {
            Ok(()) => None,
            // It may be our own, whose reply was lost: then it is committed.
            Err(e) if e.kind == StoreErrorKind::Exists || e.kind.is_retryable() => Some(e),
            Err(e) => return Err(blame::store(what(), e)),
        };
        // Read back whatever was said: a server that ignores the condition shows another writer only here.
        let found = self.store.get(&key, MANIFEST_BYTES_MAX).await;
        let found = found.map_err(|e| match refused {
            // Nothing is there because the put failed, and that is what a person must know.
            Some(refused) if e.kind == StoreErrorKind::NotFound => blame::store(what(), refused),
            Some(_) | None => blame::store(what(), e),
        })?;
        if found == bytes {
            let hash = *blake3::hash(&bytes).as_bytes();
            return Ok(Signed { manifest, hash, bytes, signed_by: host_key.public() });
        }
        Err(Failure::new(Class::Busy, what())
            .because("another machine or run has committed that number meanwhile")
            .hint("if this host was cloned, give each copy its own name with `--host`; else try again"))
    }
}
