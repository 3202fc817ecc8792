//! Names in the store: `<host>/<source>/00000042-20261121T020000Z-<run>.tar.zst` and its neighbours.
//!
//! Keys are derived from checked names and parsed back strictly. A key that this module does not know is
//! somebody else's: it is never read as a snapshot and never deleted.

use jiff::Timestamp;

use crate::words::{HostName, Number, RunId, SourceName};

/// What a key under a lineage's folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineageKey {
    /// A manifest that counts.
    Manifest(Number),
    /// A soft-deleted manifest.
    Deleted(Number),
    /// A pack.
    Pack {
        /// The snapshot that added it.
        number: Number,
        /// The run that wrote it.
        run: RunId,
    },
}

/// The folder of one source of one host in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lineage {
    /// Whose.
    pub host: HostName,
    /// Which.
    pub source: SourceName,
}

impl Lineage {
    /// With a slash at the end.
    pub fn prefix(&self) -> String {
        format!("{}/{}/", self.host, source_folder(&self.source))
    }

    /// The commit of snapshot `number`.
    pub fn manifest(&self, number: Number) -> String {
        format!("{}{:08}.manifest", self.prefix(), number.get())
    }

    /// Where a soft-deleted manifest waits out its grace.
    pub fn deleted(&self, number: Number) -> String {
        format!("{}deleted/{:08}.manifest", self.prefix(), number.get())
    }

    /// The file name of the pack that pass `pass` (0 or 1) adds; the manifest records it.
    pub fn pack_name(number: Number, taken_at: Timestamp, run: &RunId, pass: u8) -> String {
        let again = if pass == 0 { "" } else { "-2" };
        format!("{:08}-{}-{run}{again}.tar.zst", number.get(), taken_at.strftime("%Y%m%dT%H%M%SZ"))
    }

    /// What a full key under [`Self::prefix`] is; `None` for what is not ours.
    pub fn parse(&self, key: &str) -> Option<LineageKey> {
        let name = key.strip_prefix(&self.prefix())?;
        if let Some(digits) = name.strip_prefix("deleted/").and_then(|rest| rest.strip_suffix(".manifest")) {
            return Some(LineageKey::Deleted(number(digits)?));
        }
        if let Some(digits) = name.strip_suffix(".manifest") {
            return Some(LineageKey::Manifest(number(digits)?));
        }
        let (number, run) = parse_pack_name(name)?;
        Some(LineageKey::Pack { number, run })
    }
}

/// Number and run from a pack's file name, which must be exactly as we write it.
pub fn parse_pack_name(name: &str) -> Option<(Number, RunId)> {
    let mut parts = name.strip_suffix(".tar.zst")?.split('-');
    let (digits, time, run) = (parts.next()?, parts.next()?, parts.next()?);
    let digit = |b: &u8| b.is_ascii_digit();
    let time_fine = time.len() == 16
        && time.as_bytes()[..8].iter().all(digit)
        && time.as_bytes()[8] == b'T'
        && time.as_bytes()[9..15].iter().all(digit)
        && time.ends_with('Z');
    let pass_fine = matches!((parts.next(), parts.next()), (None | Some("2"), None));
    if !time_fine || !pass_fine {
        return None;
    }
    Some((number(digits)?, run.parse().ok()?))
}

/// Says which machine writes under a host's folder.
pub fn owner_key(host: &HostName) -> String {
    format!("{host}/owner.json")
}

/// Host and source from any key; `None` for what is not ours.
pub fn lineage_of(key: &str) -> Option<Lineage> {
    let (host, rest) = key.split_once('/')?;
    let (folder, _name) = rest.split_once('/')?;
    let lineage = Lineage { host: host.parse().ok()?, source: folder_source(folder)? };
    key.starts_with(&lineage.prefix()).then_some(lineage)
}

fn number(digits: &str) -> Option<Number> {
    (digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok().and_then(Number::new))?
}

/// A source as one folder: bytes other than letters, digits, `.`, `-` and `_` become `=` and two hex digits.
pub fn source_folder(source: &SourceName) -> String {
    let text = source.to_string();
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        // `owner.json` beside the lineages must never become a folder of the same name.
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if plain && !(out.is_empty() && text == "owner.json") {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("={byte:02X}"));
        }
    }
    out
}

fn folder_source(folder: &str) -> Option<SourceName> {
    let mut bytes = Vec::with_capacity(folder.len());
    let mut rest = folder.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16).and_then(|d| u8::try_from(d).ok());
            bytes.push((digit(rest.next())? << 4) | digit(rest.next())?);
        } else {
            bytes.push(byte);
        }
    }
    let source = String::from_utf8(bytes).ok()?.parse().ok()?;
    (source_folder(&source) == folder).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(source: &str) -> Lineage {
        Lineage { host: "vm-1".parse().unwrap(), source: source.parse().unwrap() }
    }

    #[test]
    fn keys_come_back() {
        let run: RunId = "00112233445566aa".parse().unwrap();
        let at: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let n = Number::new(42).unwrap();
        for source in ["db-data", "web:/var/lib/app", "owner.json", "x:/with space/é"] {
            let lineage = lineage(source);
            let [pack, again] = [0, 1].map(|pass| lineage.prefix() + &Lineage::pack_name(n, at, &run, pass));
            for pack in [&pack, &again] {
                assert_eq!(lineage.parse(pack), Some(LineageKey::Pack { number: n, run: run.clone() }));
            }
            assert_ne!(pack, again);
            assert_eq!(lineage.parse(&lineage.manifest(n)), Some(LineageKey::Manifest(n)));
            assert_eq!(lineage.parse(&lineage.deleted(n)), Some(LineageKey::Deleted(n)));
            assert_eq!(lineage_of(&pack), Some(lineage.clone()));
            assert!(!lineage.prefix().contains("//"));
        }
        assert_eq!(lineage("db").manifest(n), "vm-1/db/00000042.manifest");
        assert_eq!(lineage("web:/a").prefix(), "vm-1/web=3A=2Fa/");
        assert_ne!(lineage("owner.json").prefix(), "vm-1/owner.json/");
    }

    #[test]
    fn what_is_not_ours_is_nobody_s_snapshot() {
        let lineage = lineage("db");
        for key in [
            "vm-1/db/42.manifest",
            "vm-1/db/00000042.manifest.bak",
            "vm-1/db/00000000.manifest",
            "vm-1/db/x/00000042.manifest",
            "vm-1/dbx/00000042.manifest",
            "vm-1/db/00000042-20261121T020000Z-00112233445566aa.tar.zst.tmp",
            "vm-1/db/00000042-2026112_T020000Z-00112233445566aa.tar.zst",
            "vm-1/db/00000042-20261121T020000Z-zz.tar.zst",
            "vm-1/db/00000042-20261121T020000Z-00112233445566aa-1.tar.zst",
            "vm-1/db/00000042-20261121T020000Z-00112233445566aa-2-2.tar.zst",
            "vm-1/db/README",
        ] {
            assert_eq!(lineage.parse(key), None, "{key}");
        }
        assert_eq!(lineage_of("vm-1/web=3a=2Fa/x"), None, "only our own spelling");
        assert_eq!(lineage_of("vm-1/owner.json"), None);
    }
}
