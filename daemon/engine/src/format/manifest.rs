//! The manifest: the small signed object whose appearance in the store is the commit of a snapshot.
//!
//! It is two lines: the body as JSON, then the signature over exactly the bytes of the first line. So no
//! reader has to agree on how JSON is spelled before it can check who wrote it. Unknown fields of the same
//! format version are kept out of the way, unknown versions are refused by name.

use std::collections::BTreeMap;

use archive::channel::{Notes, Totals};
use archive::frame::Hash;
use archive::layout::{BlockRef, FORMAT, RootRef, hex_hash};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::words::{HostName, Number, RunId, SourceName};

/// No manifest is larger; checked before it is fetched.
pub const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// How a snapshot's content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotKind {
    /// Its own pack is a complete tarball.
    Full,
    /// Points into packs of earlier snapshots.
    Incremental,
}

/// How the writers of the source were held while it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// Not at all: files may be of different moments.
    Live,
    /// No container had it mounted and running.
    Idle,
    /// Those who write to it were paused while what had changed was read: what a power cut would leave.
    Paused,
    /// Those who write to it were stopped meanwhile.
    Stopped,
    /// Between two programs of its policy.
    Hooks,
    /// In PostgreSQL's backup mode, with the log that belongs to it.
    Postgres,
    /// MySQL or MariaDB was locked and paused meanwhile.
    Mysql,
    /// Redis wrote no file anew meanwhile.
    Redis,
    /// What rrdcached held back was written, and those who write to it were paused meanwhile.
    Rrd,
    /// What programs of its policy said is in [`archive::ours::DUMP_FOLDER`]. Other files, if there are any, are as in a
    /// live copy.
    Dump,
    /// It came from an archive that other software had made: how writers were held then, nobody here knows.
    Imported,
}

impl Consistency {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Live,
        Self::Idle,
        Self::Paused,
        Self::Stopped,
        Self::Hooks,
        Self::Postgres,
        Self::Mysql,
        Self::Redis,
        Self::Rrd,
        Self::Dump,
        Self::Imported,
    ];

    /// One word, as manifests spell it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Idle => "idle",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Hooks => "hooks",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Rrd => "rrd",
            Self::Dump => "dump",
            Self::Imported => "imported",
        }
    }
}

/// One pack that the snapshot needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackRef {
    /// Its id within the lineage, which extents carry.
    pub id: u64,
    /// Its file name in the lineage's folder.
    pub name: String,
    /// All of its bytes.
    pub length: u64,
    /// BLAKE3 of all of its bytes.
    #[serde(with = "hex_hash")]
    pub hash: Hash,
    /// Length of its raw content stream.
    pub raw_bytes: u64,
    /// How much of that this snapshot's files need.
    #[serde(default)]
    pub used: u64,
    /// How much of it the files needed of the snapshot that added it: all but the tarball's headers and padding.
    #[serde(default)]
    pub content_bytes: u64,
    /// Where its footer lies.
    pub footer: BlockRef,
}

impl PackRef {
    /// About how many of its bytes a restore of the snapshot fetches.
    pub fn wanted_bytes(&self) -> u64 {
        let share = u128::from(self.length) * u128::from(self.used) / u128::from(self.raw_bytes.max(1));
        u64::try_from(share).unwrap_or(u64::MAX).min(self.length)
    }
}

/// What Docker knew of the volume; enough to make it again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VolumeShape {
    /// The volume's name in Docker, or the host path of a bind mount.
    pub name: String,
    /// `local`, or a plugin; empty for a bind mount.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Options of the driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Labels; compose accepts a volume by these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A container that had the source mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserOfSource {
    /// Its name.
    pub container: String,
    /// The image's name, as it was started.
    pub image: String,
    /// The image's content id.
    pub image_id: String,
    /// Where the source was mounted.
    pub at: String,
    /// Whether it ran while the source was read.
    pub running: bool,
    /// The server in it and its version, as `PostgreSQL 15.5`, as far as image and container tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The compose project that it belonged to; empty if it belonged to none, `None` if nobody recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// Snapshots of several sources whose writers were held at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetOf {
    /// Its id: the run that held them.
    pub id: RunId,
    /// All sources that belong to it, in the order of names. It is whole if each has a snapshot of this set.
    pub sources: Vec<SourceName>,
}

/// An archive that other software had made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Its name, without folders; `-` if it had none.
    pub archive: String,
    /// All of its bytes.
    pub bytes: u64,
    /// BLAKE3 of them.
    #[serde(with = "hex_hash")]
    pub hash: Hash,
    /// Which part of it was taken: what lies beneath this; all if empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub beneath: String,
}

/// The manifest before this one, deleted ones among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its number.
    pub number: Number,
    /// BLAKE3 of the whole manifest object.
    #[serde(with = "hex_hash")]
    pub hash: Hash,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose.
    pub host: HostName,
    /// Which source.
    pub source: SourceName,
    /// Its number: with the source, its id.
    pub number: Number,
    /// The run that made it.
    pub run: RunId,
    /// When reading began; snapshots are ordered by this.
    pub taken_at: Timestamp,
    /// When the pack was complete.
    pub finished_at: Timestamp,
    /// Full or incremental.
    pub kind: SnapshotKind,
    /// How writers were held.
    pub consistency: Consistency,
    /// How long writers were held, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub freeze_ms: u64,
    /// The set that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<SetOf>,
    /// Made by hand, so outside the count of retention.
    pub by_hand: bool,
    /// What it holds.
    pub totals: Totals,
    /// Every pack that its extents and tables name.
    pub packs: Vec<PackRef>,
    /// The entries table.
    pub entries: Vec<RootRef>,
    /// The pages table, which only the next snapshot looks at.
    #[serde(default)]
    pub pages: Vec<RootRef>,
    /// When the full snapshot was taken that this one goes back to; itself, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_at: Option<Timestamp>,
    /// What changed, vanished, or could not be read.
    pub notes: Notes,
    /// Which database it holds, as `KIND:ID`, if that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The volume.
    pub volume: VolumeShape,
    /// Who used it.
    pub users: Vec<UserOfSource>,
    /// The archive that it came from, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// Versions that made it: `backupd`, `docker`, `helper` (image id).
    pub made_by: BTreeMap<String, String>,
    /// The one before; `None` for the first.
    pub parent: Option<Parent>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Written by a newer program, or no manifest at all.
    #[error("is of format version {0}, and this program reads version {FORMAT}")]
    Version(u32),
    /// Not JSON of that shape, or lengths that cannot be.
    #[error("cannot be read: {0}")]
    Malformed(String),
    /// It lies under a name that is not its own.
    #[error("says that it is `{0}`, which is not where it lies")]
    Misplaced(String),
}

impl Manifest {
    /// Whether entries that should be there are missing.
    pub fn is_partial(&self) -> bool {
        self.notes.is_partial()
    }

    /// When the full snapshot was taken that this one goes back to.
    pub fn full_taken_at(&self) -> Timestamp {
        self.full_at.unwrap_or(self.taken_at)
    }

    /// Bytes that the snapshot itself added to the store, its manifest apart.
    pub fn sent_bytes(&self) -> u64 {
        self.packs.iter().filter(|pack| pack.id / 4 == self.number.get()).map(|pack| pack.length).sum()
    }

    /// Reads the first line and checks what later steps would trust.
    pub fn parse(body: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let version: Version =
            serde_json::from_slice(body).map_err(|e| ManifestError::Malformed(e.to_string()))?;
        if version.format != FORMAT {
            return Err(ManifestError::Version(version.format));
        }
        let manifest: Self =
            serde_json::from_slice(body).map_err(|e| ManifestError::Malformed(e.to_string()))?;
        manifest.check().map_err(|why| ManifestError::Malformed(why.to_owned()))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.set.as_ref().is_some_and(|set| !set.sources.contains(&self.source)) {
            return Err("belongs to a set that does not name it");
        }
        for (i, pack) in self.packs.iter().enumerate() {
            if crate::format::names::parse_pack_name(&pack.name).is_none_or(|(n, _)| n.get() != pack.id / 4) {
                return Err("pack name and pack id do not belong together");
            }
            if self.packs[..i].iter().any(|other| other.id == pack.id) {
                return Err("two packs with one id");
            }
            let end = pack.footer.offset.checked_add(u64::from(pack.footer.length));
            if end.is_none_or(|end| end > pack.length) {
                return Err("footer lies outside its pack");
            }
        }
        for root in self.entries.iter().chain(&self.pages) {
            let pack =
                self.packs.iter().find(|pack| pack.id == root.pack).ok_or("table in a pack not listed")?;
            let end = root.block.offset.checked_add(u64::from(root.block.length));
            if end.is_none_or(|end| end > pack.length) {
                return Err("table lies outside its pack");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body() -> Value {
        let block = |offset| json!({ "offset": offset, "length": 100, "hash": "ab".repeat(32) });
        json!({
            "format": 1, "host": "vm-1", "source": "db", "number": 42, "run": "00112233445566aa",
            "taken_at": "2026-11-21T02:00:00Z", "finished_at": "2026-11-21T02:00:09Z",
            "kind": "full", "consistency": "live", "by_hand": false,
            "totals": { "entries": 2, "files": 1, "bytes": 5, "data_bytes": 5 },
            "packs": [{
                "id": 168, "name": "00000042-20261121T020000Z-00112233445566aa.tar.zst", "length": 900,
                "hash": "cd".repeat(32), "raw_bytes": 3072, "used": 5, "content_bytes": 5, "footer": block(800),
            }],
            "entries": [{ "pack": 168, "block": block(500), "segments": 1, "rows": 2 }],
            "notes": {
                "changed": 1, "vanished": 0, "unreadable": 0, "other_mounts": 0, "sockets": 0, "attributes": 0,
                "named": [{ "path": "a", "what": "changed" }],
            },
            "volume": { "name": "db", "driver": "local" },
            "users": [{ "container": "db", "image": "db:1", "image_id": "sha256:1", "at": "/d", "running": true }],
            "made_by": { "backupd": "0.1.0" },
            "parent": { "number": 41, "hash": "ef".repeat(32) },
        })
    }

    fn parse(body: &Value) -> Result<Manifest, ManifestError> {
        Manifest::parse(body.to_string().as_bytes())
    }

    /// Adds a field that nobody knows to every object but those whose names are data.
    fn with_news(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    if name != "made_by" {
                        with_news(value);
                    }
                }
                fields.insert("of_a_later_writer".to_owned(), json!({ "x": [1] }));
            }
            Value::Array(items) => items.iter_mut().for_each(with_news),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn fields_that_are_not_known_are_passed_over_wherever_they_are() {
        let plain = body();
        let mut newer = plain.clone();
        with_news(&mut newer);
        assert_ne!(newer, plain);
        assert_eq!(parse(&newer).unwrap(), parse(&plain).unwrap());
    }

    /// The names of all fields but those whose names are data.
    fn names(value: &Value) -> Vec<String> {
        match value {
            Value::Object(fields) => {
                let data = |name: &str| matches!(name, "made_by" | "options" | "labels");
                let inside =
                    fields.iter().filter(|(name, _)| !data(name)).flat_map(|(_, value)| names(value));
                fields.keys().cloned().chain(inside).collect()
            }
            Value::Array(items) => items.iter().flat_map(names).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        }
    }

    #[test]
    fn every_field_that_is_written_is_described() {
        let mut all = body();
        all["freeze_ms"] = json!(5);
        all["full_at"] = json!("2026-11-01T02:00:00Z");
        all["pages"] = all["entries"].clone();
        all["imported"] = json!({ "archive": "a.tar", "bytes": 7, "hash": "ab".repeat(32), "beneath": "b" });
        all["notes"]["named"][0]["why"] = json!("grew");
        all["users"][0]["server"] = json!("PostgreSQL 15.5");
        all["volume"] =
            json!({ "name": "db", "driver": "local", "options": { "o": "x" }, "labels": { "l": "y" } });
        let written = serde_json::to_value(parse(&all).unwrap()).unwrap();
        let page = include_str!("../../../../FORMAT.md");
        let marked = page.split('`').skip(1).step_by(2);
        let words: Vec<&str> =
            marked.flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')).collect();
        let missing: Vec<_> =
            names(&written).into_iter().filter(|name| !words.contains(&name.as_str())).collect();
        assert!(missing.is_empty(), "FORMAT.md does not name {missing:?}");
        assert!(names(&written).len() > 50, "a field was left out: {written}");
    }

    #[test]
    fn what_may_be_left_out_may_be_and_what_contradicts_itself_is_refused() {
        let manifest = parse(&body()).unwrap();
        assert_eq!((manifest.pages.len(), manifest.freeze_ms, manifest.full_at), (0, 0, None));
        for (pointer, value, why) in [
            ("/format", json!(2), "is of format version 2"),
            ("/packs/0/id", json!(172), "do not belong together"),
            ("/packs/0/footer/offset", json!(801), "footer lies outside its pack"),
            ("/entries/0/pack", json!(164), "table in a pack not listed"),
            ("/entries/0/block/offset", json!(u64::MAX), "table lies outside its pack"),
            ("/kind", json!("partly"), "unknown variant"),
            ("/number", json!(0), "cannot be read"),
        ] {
            let mut bad = body();
            *bad.pointer_mut(pointer).unwrap() = value;
            let refused = parse(&bad).unwrap_err().to_string();
            assert!(refused.contains(why), "{pointer}: {refused}");
        }
    }
}
