//! Reads manifests from the store and checks who wrote them. The catalog is filled from here, and every
//! verb that reads a snapshot comes through here.

use archive::frame::Hash;
use bytes::Bytes;

use crate::failure::{Class, Failure};
use crate::format::key::PublicKey;
use crate::format::manifest::{MANIFEST_BYTES_MAX, Manifest, ManifestError};
use crate::format::names::{Lineage, LineageKey, owner_key};
use crate::format::owner::{OWNER_BYTES_MAX, Owner};
use crate::format::signed::{self, SignatureError};
use crate::port::store::{ReadStore, StoreErrorKind};
use crate::usecase::blame;
use crate::words::{HostName, Number, RunId};

/// A manifest whose signature was checked.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    /// What it says.
    pub(crate) manifest: Manifest,
    /// Hash of the whole object, for the chain.
    pub(crate) hash: Hash,
    /// The object as it lies in the store.
    pub(crate) bytes: Bytes,
    /// Whose signature it is.
    pub(crate) signed_by: PublicKey,
}

/// What a lineage's folder holds.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// Numbers that count.
    pub(crate) live: Vec<Number>,
    /// Numbers that were soft-deleted and not undeleted.
    pub(crate) deleted: Vec<Number>,
    /// Packs, committed or not.
    pub(crate) packs: Vec<StoredPack>,
}

/// A pack as the listing shows it.
#[derive(Debug)]
pub(crate) struct StoredPack {
    /// The run that wrote it.
    pub(crate) run: RunId,
    /// Its key.
    pub(crate) key: String,
}

impl Folder {
    /// The highest number that was ever used and is still known.
    pub(crate) fn highest(&self) -> Option<Number> {
        self.live.iter().chain(&self.deleted).max().copied()
    }
}

/// Lists a lineage.
pub(crate) async fn folder(store: &dyn ReadStore, lineage: &Lineage) -> Result<Folder, Failure> {
    let prefix = lineage.prefix();
    let listed = store.list(&prefix).await.map_err(|e| blame::store(format!("list `{prefix}`"), e))?;
    let mut folder = Folder::default();
    for object in listed {
        match lineage.parse(&object.key) {
            Some(LineageKey::Manifest(number)) => folder.live.push(number),
            Some(LineageKey::Deleted(number)) => folder.deleted.push(number),
            Some(LineageKey::Pack { run, .. }) => {
                folder.packs.push(StoredPack { run, key: object.key });
            }
            None => {}
        }
    }
    // A crash between tombstone and delete leaves both: the live one wins.
    folder.deleted.retain(|number| !folder.live.contains(number));
    Ok(folder)
}

/// Whether a manifest is there, soft-deleted or not, whatever a list says; `Some(true)` if it is soft-deleted.
pub(crate) async fn found(
    store: &dyn ReadStore,
    lineage: &Lineage,
    number: Number,
) -> Result<Option<bool>, Failure> {
    for (key, deleted) in [(lineage.manifest(number), false), (lineage.deleted(number), true)] {
        let found = store.head(&key).await.map_err(|e| blame::store(format!("look for `{key}`"), e))?;
        if found.is_some() {
            return Ok(Some(deleted));
        }
    }
    Ok(None)
}

/// All lineages in the store, of one host or of all.
pub(crate) async fn lineages(
    store: &dyn ReadStore,
    host: Option<&HostName>,
) -> Result<Vec<Lineage>, Failure> {
    let hosts = match host {
        Some(host) => vec![host.clone()],
        None => {
            let folders = store.folders("").await.map_err(|e| blame::store("list the store's hosts", e))?;
            folders.iter().filter_map(|folder| folder.parse().ok()).collect()
        }
    };
    let mut lineages = Vec::new();
    for host in hosts {
        let prefix = format!("{host}/");
        let folders = store.folders(&prefix).await;
        let folders = folders.map_err(|e| blame::store(format!("list `{prefix}`"), e))?;
        let names = folders
            .iter()
            .filter_map(|folder| crate::format::names::lineage_of(&format!("{prefix}{folder}/any")));
        lineages.extend(names);
    }
    Ok(lineages)
}

/// Who writes under a host's folder; `None` before the first backup.
pub(crate) async fn owner(store: &dyn ReadStore, host: &HostName) -> Result<Option<Owner>, Failure> {
    let key = owner_key(host);
    match store.get(&key, OWNER_BYTES_MAX).await {
        Ok(bytes) => Owner::parse(host, &bytes).map(Some).map_err(|e| {
            let hint = e.hint();
            let failure = Failure::new(Class::WrongKey, format!("read `{key}`")).because(e);
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }),
        Err(e) if e.kind == StoreErrorKind::NotFound => Ok(None),
        Err(e) => Err(blame::store(format!("read `{key}`"), e)),
    }
}

/// Reads a manifest that must be signed by one of `trusted`.
pub(crate) async fn manifest(
    store: &dyn ReadStore,
    lineage: &Lineage,
    number: Number,
    deleted: bool,
    trusted: &[PublicKey],
) -> Result<Signed, Failure> {
    match look(store, lineage, number, deleted, trusted).await? {
        Looked::Good(signed) => Ok(*signed),
        Looked::Damaged(failure) => Err(failure),
    }
}

/// What lies where a manifest should.
pub(crate) enum Looked {
    /// One that can be trusted.
    Good(Box<Signed>),
    /// Nothing that anybody signed, or that makes sense: it was cut or changed.
    Damaged(Failure),
}

/// The same for whoever can do without one that is damaged. One that another key has signed, that a newer version wrote
/// or that lies in another's place is whole, and an error: whose folder this is, or how to go on in it, is not known.
pub(crate) async fn look(
    store: &dyn ReadStore,
    lineage: &Lineage,
    number: Number,
    deleted: bool,
    trusted: &[PublicKey],
) -> Result<Looked, Failure> {
    let key = if deleted { lineage.deleted(number) } else { lineage.manifest(number) };
    let within = |failure: Failure| failure.within(&format!("read manifest `{key}`"));
    let bytes = match store.get(&key, MANIFEST_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(e) if e.kind == StoreErrorKind::NotFound => {
            return Err(Failure::not_found(format!("there is no snapshot `{}@{number}`", lineage.source))
                .hint(format!("`backupctl snapshots {}` shows what there is", lineage.source)));
        }
        Err(e) => return Err(blame::store(format!("read manifest `{key}`"), e)),
    };
    match check(&bytes, lineage, number, trusted).map_err(within)? {
        Looked::Damaged(failure) => Ok(Looked::Damaged(within(failure))),
        good @ Looked::Good(_) => Ok(good),
    }
}

/// Checks the bytes of a manifest: signature, version, place.
fn check(bytes: &Bytes, lineage: &Lineage, number: Number, trusted: &[PublicKey]) -> Result<Looked, Failure> {
    let opened = match signed::open(bytes) {
        Ok(opened) => opened,
        Err(e) => return Ok(Looked::Damaged(unsigned(e))),
    };
    if !trusted.contains(&opened.signed_by) {
        return Err(Failure::new(Class::WrongKey, format!("it is signed by an unknown key `{}`", opened.signed_by))
            .hint(format!(
                "the key of host `{}` stands in `{}`; if another machine took over that name, give this one its own with `--host`",
                lineage.host,
                owner_key(&lineage.host)
            )));
    }
    let unusable = |e, hint| Failure::failed("its content cannot be used").because(e).hint(hint);
    let manifest = match Manifest::parse(opened.body) {
        Ok(manifest) => manifest,
        Err(e @ ManifestError::Version(_)) => {
            return Err(unusable(e, "a newer backupctl wrote it: use that version to read it"));
        }
        Err(e @ (ManifestError::Malformed(_) | ManifestError::Misplaced(_))) => {
            let hint = "`backupctl verify --all` tells which snapshots are whole";
            return Ok(Looked::Damaged(unusable(e, hint)));
        }
    };
    let place = (&manifest.host, &manifest.source, manifest.number);
    if place != (&lineage.host, &lineage.source, number) {
        let own = format!("{}/{}@{}", manifest.host, manifest.source, manifest.number);
        return Err(Failure::new(Class::WrongKey, "it lies under a name that is not its own")
            .because(ManifestError::Misplaced(own))
            .hint("somebody moved it; do not restore it"));
    }
    let signed = Signed { manifest, hash: opened.hash, bytes: bytes.clone(), signed_by: opened.signed_by };
    Ok(Looked::Good(Box::new(signed)))
}

fn unsigned(e: SignatureError) -> Failure {
    Failure::new(Class::WrongKey, "its signature does not match: it was damaged or not written by this host")
        .because(e)
        .hint("do not restore it; `backupctl snapshots` shows others, `backupctl verify --all` checks them")
}
