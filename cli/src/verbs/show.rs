//! `backupctl show`.

use engine::archive::channel::{NoteKind, Notes};
use engine::failure::Failure;
use engine::format::manifest::Manifest;
use engine::usecase::snapshots::show;
use engine::words::{Number, SnapshotName};
use jiff::tz::TimeZone;
use serde_json::json;

use super::snapshots::{kind, proof};
use crate::screen::{fields, plain, units};
use crate::session::{Ending, Session};

/// Show what a snapshot is: its manifest, in words
///
/// Says where it lies in the store, what could not be read when it was taken, and who used the source.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl show db-data@42
  backupctl show db-data@latest --json")]
pub(crate) struct Args {
    /// `SOURCE@42` or `SOURCE@latest`, with `HOST/` in front for another host
    #[arg(value_name = "SNAP")]
    name: SnapshotName,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    let at = session.having(&host, &args.name).await?;
    let shown = show(&at, &args.name).await?;
    let signed_by = shown.signed_by.as_str();
    if session.screen.is_json() {
        let mut value = fields(&shown.line)?;
        value["signed_by"] = json!(signed_by);
        value["manifest"] = fields(&shown.manifest)?;
        session.screen.value(&value)?;
    } else {
        let screen = &session.screen;
        let proof = proof(&shown.line, screen.now());
        let text = text(&shown.line.id, &shown.manifest, signed_by, proof.as_deref(), screen.zone());
        screen.result(&text)?;
    }
    Ok(Ending::Done)
}

fn text(id: &str, manifest: &Manifest, signed_by: &str, proof: Option<&str>, zone: &TimeZone) -> String {
    let mut out = format!("{}\n", plain::line(id));
    let mut line = |name: &str, text: &str| out += &format!("  {name:<12} {}\n", plain::line(text));
    let moment = |at| units::moment_with_zone(at, zone);
    line("host", manifest.host.as_str());
    line("taken", &format!("{} to {}", moment(manifest.taken_at), moment(manifest.finished_at)));
    let by_hand = if manifest.by_hand { ", by hand" } else { "" };
    line("kind", &format!("{}, {}{by_hand}", kind(manifest.kind), manifest.consistency.word()));
    let totals = &manifest.totals;
    line(
        "content",
        &format!(
            "{}, {} in all, {}, {} of it not holes",
            units::counted(totals.files, "file", "files"),
            units::counted(totals.entries, "entry", "entries"),
            units::bytes(totals.bytes),
            units::bytes(totals.data_bytes)
        ),
    );
    line("proven", proof.map_or("not yet", |proof| proof.strip_prefix("proven ").unwrap_or(proof)));
    line("sent", &units::bytes(manifest.sent_bytes()));
    line("run", manifest.run.as_str());
    if let Some(set) = &manifest.set {
        let sources: Vec<String> = set.sources.iter().map(ToString::to_string).collect();
        line("set", &format!("{} of {}", set.id, sources.join(", ")));
    }
    if let Some(from) = &manifest.imported {
        let beneath =
            if from.beneath.is_empty() { String::new() } else { format!(", beneath {}", from.beneath) };
        let hash: String = from.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        line(
            "imported",
            &format!("from {}, {}{beneath}, BLAKE3 {hash}", from.archive, units::bytes(from.bytes)),
        );
    }
    line("signed by", signed_by);
    match &manifest.parent {
        Some(parent) => line("parent", &format!("@{}", parent.number)),
        None if manifest.number == Number::FIRST => line("parent", "none; the first of its lineage"),
        None => line("parent", "none that was whole"),
    }
    for pack in &manifest.packs {
        line("pack", &format!("{}  {}", pack.name, units::bytes(pack.length)));
    }
    let volume = &manifest.volume;
    let driver = if volume.driver.is_empty() { "bind mount" } else { &volume.driver };
    line("volume", &format!("{} ({driver})", volume.name));
    for (name, value) in &volume.options {
        line("  option", &format!("{name}={value}"));
    }
    for (name, value) in &volume.labels {
        line("  label", &format!("{name}={value}"));
    }
    for user in &manifest.users {
        let ran = if user.running { "running" } else { "stopped" };
        line(
            "used by",
            &format!("{} at {}, {ran}, image {} ({})", user.container, user.at, user.image, user.image_id),
        );
    }
    for (what, version) in &manifest.made_by {
        line("made by", &format!("{what} {version}"));
    }
    notes(&mut line, &manifest.notes);
    out
}

fn notes(line: &mut impl FnMut(&str, &str), notes: &Notes) {
    let counts = [
        (notes.unreadable, NoteKind::Unreadable),
        (notes.vanished, NoteKind::Vanished),
        (notes.changed, NoteKind::Changed),
        (notes.other_mounts, NoteKind::OtherMount),
        (notes.sockets, NoteKind::Socket),
        (notes.attributes, NoteKind::Attribute),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        line("notes", &format!("{} {}", units::count(count), meaning(what)));
        let named = notes.named.iter().filter(|note| note.what == what);
        let mut told = 0;
        for note in named {
            told += 1;
            let why = if note.why.is_empty() { String::new() } else { format!(": {}", note.why) };
            line("", &format!("{}{why}", note.path));
        }
        if told < count {
            line("", &format!("and {} more", units::count(count - told)));
        }
    }
}

fn meaning(what: NoteKind) -> &'static str {
    match what {
        NoteKind::Unreadable => "could not be read and are missing: this snapshot is partial",
        NoteKind::Vanished => "were gone before they could be read",
        NoteKind::Changed => "changed while they were read",
        NoteKind::OtherMount => "are mount points; what is mounted there is not in this snapshot",
        NoteKind::Socket => "are sockets, which programs make again",
        NoteKind::Attribute => "lack an attribute that could not be read",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use engine::archive::channel::Totals;
    use engine::archive::layout::{BlockRef, FORMAT};
    use engine::archive::path::TreePath;
    use engine::format::manifest::{Consistency, PackRef, SnapshotKind, UserOfSource, VolumeShape};
    use engine::words::Number;

    use super::*;

    fn manifest() -> Manifest {
        let mut notes = Notes::default();
        let path = |text: &str| TreePath::parse(text.as_bytes().to_vec()).unwrap();
        notes.add(&path("secret\x1b[2J"), NoteKind::Unreadable, "permission denied");
        for n in 0..60 {
            notes.add(&path(&format!("run/{n}")), NoteKind::Socket, "");
        }
        notes.named.truncate(3);
        let pairs = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        Manifest {
            format: FORMAT,
            host: "vm-1".parse().unwrap(),
            source: "db-data".parse().unwrap(),
            number: Number::new(42).unwrap(),
            run: "00112233445566aa".parse().unwrap(),
            taken_at: "2026-11-20T13:00:05Z".parse().unwrap(),
            finished_at: "2026-11-20T13:00:13Z".parse().unwrap(),
            kind: SnapshotKind::Full,
            consistency: Consistency::Idle,
            freeze_ms: 0,
            set: None,
            by_hand: true,
            totals: Totals { entries: 1300, files: 1234, bytes: 5 << 30, data_bytes: 4 << 30 },
            packs: vec![PackRef {
                id: 168,
                name: "00000042-20261120T130005Z-00112233445566aa.tar.zst".into(),
                length: 1 << 30,
                hash: [0; 32],
                raw_bytes: 5 << 30,
                content_bytes: 5 << 30,
                used: 0,
                footer: BlockRef { offset: 0, length: 1, hash: [0; 32] },
            }],
            entries: Vec::new(),
            pages: Vec::new(),
            full_at: None,
            notes,
            identity: None,
            volume: VolumeShape {
                name: "db-data".into(),
                driver: "local".into(),
                options: BTreeMap::new(),
                labels: pairs("com.docker.compose.project", "shop\x1b]0;x\x07"),
            },
            users: vec![UserOfSource {
                container: "db".into(),
                image: "postgres:17".into(),
                image_id: "sha256:12".into(),
                at: "/var/lib/postgresql/data".into(),
                running: false,
                server: None,
                project: None,
            }],
            imported: None,
            made_by: pairs("backupd", "0.1.0"),
            parent: None,
        }
    }

    #[test]
    fn a_manifest_is_told_in_words_with_notes_and_packs() {
        let want = "\
db-data@42
  host         vm-1
  taken        2026-11-20 13:00:05 +00:00 to 2026-11-20 13:00:13 +00:00
  kind         full, idle, by hand
  content      1,234 files, 1,300 entries in all, 5.0 GiB, 4.0 GiB of it not holes
  proven       2 d ago
  sent         1.0 GiB
  run          00112233445566aa
  signed by    key 12
  parent       none that was whole
  pack         00000042-20261120T130005Z-00112233445566aa.tar.zst  1.0 GiB
  volume       db-data (local)
    label      com.docker.compose.project=shop\\u{1b}]0;x\\u{7}
  used by      db at /var/lib/postgresql/data, stopped, image postgres:17 (sha256:12)
  made by      backupd 0.1.0
  notes        1 could not be read and are missing: this snapshot is partial
               secret\\u{1b}[2J: permission denied
  notes        60 are sockets, which programs make again
               run/0
               run/1
               and 58 more
";
        let proof = Some("proven 2 d ago");
        assert_eq!(text("db-data@42", &manifest(), "key 12", proof, &TimeZone::UTC), want);
    }
}
