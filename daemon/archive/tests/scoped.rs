//! Passes over a part of a tree: what is left out, taken from the base, planted and required; and that the next snapshot
//! can lean on what came of it.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on fails")]

#[path = "support/deeds.rs"]
mod deeds;
#[path = "support/lineage.rs"]
mod lineage;
#[path = "support/model.rs"]
mod model;
#[path = "support/packs.rs"]
mod packs;
#[path = "support/planted.rs"]
mod planted;
#[path = "support/restored.rs"]
mod restored;
mod support;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use archive::channel::{PackJob, Packed};
use archive::entry::Kind;
use archive::pack::PackError;
use archive::path::TreePath;
use archive::scope::{LeftOut, Planted, PlantedContent, Required, Scope};
use deeds::{Deed, act, content};
use lineage::{How, Lineage};
use planted::{chown_link, write};
use proptest::prelude::*;

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes().to_vec()).unwrap()
}

fn plant(at: &str, bytes: &[u8]) -> Planted {
    Planted { path: path(at), content: PlantedContent::File(bytes.to_vec()), like: path("like") }
}

fn require(at: &str, size: u64) -> Scope {
    Scope { require: vec![Required { path: path(at), size }], ..Scope::default() }
}

fn only(places: &[&str]) -> Scope {
    Scope { only: Some(places.iter().copied().map(path).collect()), ..Scope::default() }
}

fn by(scope: Scope) -> How {
    How { scope: Some(scope), ..How::default() }
}

/// Times go in steps: a change in the step of a snapshot could not be told by them.
fn wait() {
    std::thread::sleep(Duration::from_millis(15));
}

/// What is read back is what is promised, and hashes and counts are those of it.
#[track_caller]
fn check(lineage: &Lineage, packed: &Packed, want: &model::Tree) {
    model::assert_same(&model::read(lineage, packed), want);
    model::check_hashes(lineage, packed);
    assert_eq!(packed.used, lineage.count_used(packed));
    let entries = lineage.entries(packed);
    let files: Vec<_> = entries.iter().filter(|entry| matches!(entry.kind, Kind::File { .. })).collect();
    let bytes = files.iter().map(|file| file.size()).sum::<u64>();
    assert_eq!((packed.totals.files, packed.totals.bytes), (files.len() as u64, bytes));
}

/// Why a pass comes to nothing.
#[track_caller]
fn refused(lineage: &mut Lineage, root: &Path, scope: Scope) -> String {
    match lineage.try_snapshot(root, &by(scope), |_ask, answer| Ok(answer)) {
        Err(PackError::Scope(why)) => why,
        Err(other) => panic!("{other}"),
        Ok((packed, _)) => panic!("{packed:?}"),
    }
}

/// A server's folder: much that is not looked at again, and a log.
fn database(root: &Path, files: u32) -> Lineage {
    for folder in ["base", "log", "log/status", "slots"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    for n in 0..files {
        write(&root.join(format!("base/{n:05}")), &content(n, 17_000 + n as usize));
    }
    write(&root.join("like"), b"15");
    fs::set_permissions(root.join("like"), Permissions::from_mode(0o640)).unwrap();
    chown_link(&root.join("like"), 70, 71);
    for name in ["slots/one", "log/000A", "log/status/000A", "base/tmp1", "pid"] {
        write(&root.join(name), name.as_bytes());
    }
    fs::create_dir(root.join("base/tmp")).unwrap();
    write(&root.join("base/tmp/2"), &[7; 99]);
    Lineage::default()
}

/// What a first pass over it leaves out.
fn first() -> Scope {
    Scope {
        leave_out: vec![
            LeftOut::Inside(path("slots")),
            LeftOut::Inside(path("log")),
            LeftOut::At(path("pid")),
            LeftOut::Named { below: path("base"), prefix: "tmp".to_owned() },
        ],
        ..Scope::default()
    }
}

#[test]
fn the_second_pass_looks_at_the_log_alone_and_nothing_new_has_no_pack() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = root.path();
    let mut lineage = database(root, 3000);
    let is_left = |path: &[u8]| {
        !path.starts_with(b"slots/")
            && !path.starts_with(b"log/")
            && path != b"pid"
            && !path.starts_with(b"base/tmp")
    };
    let want = model::record_where(root, &is_left);
    let before = lineage.snapshot(root, &by(first()));
    check(&lineage, &before, &want);
    assert!(lineage.segments(&before.entries).len() > 1 && lineage.segments(&before.pages).len() > 1);
    // Nobody looks: all of this is news only to the next snapshot.
    wait();
    fs::remove_dir_all(root.join("base")).unwrap();
    write(&root.join("new"), b"new");
    fs::set_permissions(root, Permissions::from_mode(0o711)).unwrap();
    let empty = Scope { leave_out: vec![LeftOut::Inside(path("log"))], ..only(&["log"]) };
    let again = lineage.snapshot(root, &by(empty));
    assert_eq!((again.length, &again.used, again.totals), (0, &before.used, before.totals));
    assert_eq!((&again.entries, &again.pages), (&before.entries, &before.pages), "segment by segment");
    // The log, without what is too old or was made ahead, and the label.
    for name in ["0009", "000B", "000C", "000A.history"] {
        write(&root.join("log").join(name), name.as_bytes());
    }
    let outside = LeftOut::Outside { folder: path("log"), first: "000A".into(), last: "000B".into() };
    let second = Scope {
        leave_out: vec![outside],
        plant: vec![plant("label", b"START\n"), plant("base/label", &content(3, 40_000))],
        require: [("log/000A", 8), ("log/000B", 4), ("like", 2), ("label", 6), ("base/00000", 17_000)]
            .map(|(at, size)| Required { path: path(at), size })
            .into(),
        ..only(&["log"])
    };
    let packed = lineage.snapshot(root, &by(second));
    let label = lineage.entry(&packed, "label");
    assert_eq!((label.mode, label.uid, label.gid, label.witness.young), (0o640, 70, 71, true));
    assert_eq!(lineage.content(&label).0, b"START\n");
    assert_eq!(lineage.content(&lineage.entry(&packed, "base/label")).0, content(3, 40_000));
    let mut got = model::read(&lineage, &packed);
    got.retain(|path, _| !path.ends_with(b"label"));
    let is_of_log = |path: &[u8]| path.starts_with(b"log") && !matches!(&path[3..], b"/0009" | b"/000C");
    let mut want = want;
    want.extend(model::record_where(root, &is_of_log));
    model::assert_same(&got, &want);
    model::check_hashes(&lineage, &packed);
    assert_eq!(packed.used, lineage.count_used(&packed));
    assert_eq!(packed.raw_bytes, 8 + 4 + 12 + 15 + 6 + 40_000, "what is in the log, and the labels");
    // The next one leans on it, and finds all that nobody looked at.
    lineage.prune(std::iter::once(&packed));
    let want = model::record(root);
    let next = lineage.snapshot(root, &How::default());
    check(&lineage, &next, &want);
}

#[test]
fn what_is_required_is_there_as_it_must_be_or_there_is_no_pack() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = root.path();
    let mut lineage = database(root, 9);
    let full = |scope: Scope| PackJob { scope: Some(Box::new(scope)), ..packs::JOB };
    let check = |at: &str, size: u64, want: &str| {
        let why = packs::try_pack(root, &full(require(at, size)), |_| Ok(()));
        match why {
            Err(PackError::Scope(why)) => assert!(why.contains(at) && why.contains(want), "{why}"),
            Err(other) => panic!("{other}"),
            Ok(_) => assert_eq!(want, ""),
        }
    };
    check("like", 2, "");
    check("like", 3, "has 2 bytes");
    check("gone", 0, "is not in the source");
    check("base", 0, "is no regular file");
    let two = Scope { require: [require("x", 1), require("y", 1)].map(|s| s.require).concat(), ..first() };
    assert!(refused(&mut lineage, root, two).ends_with("and 1 more of that kind"));
    let left_out = Scope { require: require("pid", 3).require, ..first() };
    assert!(refused(&mut lineage, root, left_out).contains("is not in the source"));
    // Of the base it counts only if it was at rest.
    lineage.snapshot(root, &by(first()));
    lineage.snapshot(root, &by(Scope { require: require("like", 2).require, ..only(&[]) }));
    let more = Scope { require: require("like", 1).require, ..only(&[]) };
    assert!(refused(&mut lineage, root, more).contains("has 2 bytes"));
    // Large enough that its end cannot be read before the first piece has passed the sink.
    let mut noise = vec![0; 24 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    write(&root.join("base/00000"), &noise);
    wait();
    let mut changed = false;
    let job = full(require("base/00000", noise.len() as u64));
    let read = packs::try_pack(root, &job, |_piece| {
        if !std::mem::replace(&mut changed, true) {
            File::options().write(true).open(root.join("base/00000")).unwrap().write_all_at(b"!", 0).unwrap();
        }
        Ok(())
    });
    assert!(read.unwrap_err().to_string().contains("changed while it was read"));
}

#[test]
fn what_a_log_puts_right_is_not_told() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = root.path();
    let mut noise = vec![0; 24 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    for folder in ["data", "other"] {
        fs::create_dir(root.join(folder)).unwrap();
        write(&root.join(folder).join("file"), &noise);
    }
    let job = |logged: &[&str]| {
        let logged = logged.iter().copied().map(path).collect();
        PackJob { scope: Some(Box::new(Scope { logged, ..Scope::default() })), ..packs::JOB }
    };
    let told = |logged: &[&str]| {
        let mut changed = 0;
        let hook = |_piece: &[u8]| {
            // While one of them is read, the other changes too.
            for folder in ["data", "other"] {
                let file = File::options().append(true).open(root.join(folder).join("file")).unwrap();
                file.set_len((24 << 20) + changed).unwrap();
                changed += 1;
            }
            Ok(())
        };
        let (_, packed) = packs::try_pack(root, &job(logged), hook).unwrap();
        packed.notes.named.into_iter().map(|note| note.path).collect::<Vec<_>>()
    };
    assert_eq!(told(&[]), ["data/file", "other/file"]);
    assert_eq!(told(&["data"]), ["other/file"]);
    assert_eq!(told(&[""]), [""; 0]);
}

#[test]
fn a_full_pass_is_a_tarball_with_what_was_planted() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = root.path();
    drop(database(root, 3));
    write(&root.join("label"), b"old, and longer");
    let scope = Scope { plant: vec![plant("zzz", &[]), plant("label", b"new")], ..first() };
    let job = PackJob { scope: Some(Box::new(scope)), ..packs::JOB };
    let (bytes, packed) = packs::try_pack(root, &job, |_| Ok(())).unwrap();
    let into = tempfile::tempdir_in("/dev/shm").unwrap();
    restored::restore(&bytes, &packed, into.path(), 7);
    for (name, want) in [("label", "new"), ("zzz", "")] {
        let meta = fs::metadata(into.path().join(name)).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o640, 70, 71));
        assert_eq!(fs::read_to_string(into.path().join(name)).unwrap(), want);
    }
    for gone in ["pid", "log/000A", "slots/one", "base/tmp", "base/tmp1"] {
        assert!(!into.path().join(gone).exists(), "{gone}");
    }
    assert!(into.path().join("log").is_dir() && into.path().join("base/00002").is_file());
    // Read by a library that has never heard of us.
    let raw = packs::open(&bytes, &packed).raw;
    let names: Vec<_> = tar::Archive::new(raw.as_slice())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().trim_start_matches("./").to_owned())
        .collect();
    assert!(names.contains(&"label".to_owned()) && !names.contains(&"pid".to_owned()), "{names:?}");
}

#[test]
fn hard_links_over_the_border_are_right_or_refused() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = root.path();
    let mut lineage = database(root, 9);
    // Its other name is not looked at, so it is a file of its own; its content is stored already.
    fs::hard_link(root.join("base/00003"), root.join("log/000B")).unwrap();
    let before = lineage.snapshot(root, &by(first()));
    let packed = lineage.snapshot(root, &by(only(&["log"])));
    let read = |lineage: &Lineage, at: &str| lineage.content(&lineage.entry(&packed, at)).0;
    assert_eq!(read(&lineage, "log/000B"), read(&lineage, "base/00003"));
    assert_eq!(packed.raw_bytes, 8 + 15, "the log's own files");
    lineage.last = Some(before);
    // A name outside of a file inside: which file it is now nobody knows.
    fs::remove_file(root.join("log/000B")).unwrap();
    fs::hard_link(root.join("base/00005"), root.join("log-copy")).unwrap();
    let packed = lineage.snapshot(root, &How::default());
    assert!(matches!(lineage.entry(&packed, "log-copy").kind, Kind::Hardlink { .. }));
    assert!(refused(&mut lineage, root, only(&["base"])).contains("log-copy"));
    let planted = Scope { plant: vec![plant("base/00005", b"")], ..only(&[]) };
    assert!(refused(&mut lineage, root, planted).contains("log-copy"));
    check(&lineage, &lineage.last.clone().unwrap(), &model::record(root));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_read() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut lineage = database(root.path(), 1);
    assert!(refused(&mut lineage, root.path(), only(&["log"])).contains("base"));
    let stranger = Planted { like: path("gone/like"), ..plant("label", b"") };
    let scope = Scope { plant: vec![stranger], ..Scope::default() };
    let failed = lineage.try_snapshot(root.path(), &by(scope), |_ask, answer| Ok(answer));
    assert!(matches!(failed, Err(PackError::Source { path, .. }) if path == "gone/like"));
    lineage.snapshot(root.path(), &How::default());
    let packs = lineage.packs.keys().copied().collect();
    let how = How { shun: packs, ..by(only(&["log"])) };
    let failed = lineage.try_snapshot(root.path(), &how, |_ask, answer| Ok(answer));
    assert!(matches!(failed, Err(PackError::Scope(why)) if why.contains("shunned")));
}

/// What two passes are about, by numbers.
type Choice = (u8, u8, u8, u32);

fn folder(n: u8) -> String {
    (n % 40).to_string()
}

fn left_out((one, two, ..): Choice) -> Vec<LeftOut> {
    let all = [
        LeftOut::Inside(path(&folder(one))),
        LeftOut::At(path(&folder(two))),
        LeftOut::Named { below: path(""), prefix: (one % 4).to_string() },
        LeftOut::Outside { folder: path(""), first: "11".to_owned(), last: "27".to_owned() },
    ];
    all.into_iter().enumerate().filter(|(n, _)| two >> n & 1 == 1).map(|(_, out)| out).collect()
}

/// By the definition, with everything above it that is looked at.
fn is_left_out(rules: &[LeftOut], path: &[u8], from: usize) -> bool {
    let text = std::str::from_utf8(path).unwrap();
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    (from.max(1)..=parts.len()).any(|depth| {
        let (folder, name) = (parts[..depth - 1].join("/"), parts[depth - 1]);
        let here = parts[..depth].join("/");
        rules.iter().any(|rule| match rule {
            LeftOut::At(at) => at.as_bytes() == here.as_bytes(),
            LeftOut::Inside(inside) => inside.as_bytes() == folder.as_bytes(),
            LeftOut::Named { prefix, .. } => name.starts_with(prefix),
            LeftOut::Outside { first, last, .. } => {
                folder.is_empty() && name.len() == 2 && !(first.as_str()..=last.as_str()).contains(&name)
            }
        })
    })
}

fn places((one, two, three, _): Choice) -> Vec<String> {
    let mut places = vec![folder(three), format!("{}/{}", folder(one), folder(three))];
    places.truncate(usize::from(two % 3));
    places
}

fn live(root: &Path, steps: Vec<(Vec<Deed>, Vec<Deed>, Choice)>) {
    let mut lineage = Lineage::default();
    for folder in 0..6 {
        fs::create_dir(root.join(folder.to_string())).unwrap();
    }
    for (deeds, meanwhile, choice) in steps {
        wait();
        deeds.into_iter().for_each(|deed| act(root, deed));
        let out = left_out(choice);
        let first_tree = model::record_where(root, &|path| !is_left_out(&out, path, 0));
        let scope = Scope { leave_out: out.clone(), ..Scope::default() };
        let before = lineage.snapshot(root, &How { full: choice.0 % 5 == 0, ..by(scope) });
        check(&lineage, &before, &first_tree);
        wait();
        meanwhile.into_iter().for_each(|deed| act(root, deed));
        write(&root.join("like"), b"");
        let places = places(choice);
        let place = |path: &[u8]| {
            let is_at = |place: &&String| {
                path.strip_prefix(place.as_bytes()).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
            };
            places.iter().find(is_at).map(|place| place.split('/').count())
        };
        let is_in = |path: &[u8]| place(path).is_some();
        let looked_at = |path: &[u8]| place(path).is_some_and(|from| !is_left_out(&out, path, from));
        let second_tree = model::record_where(root, &looked_at);
        let names: Vec<&str> = places.iter().map(String::as_str).collect();
        let labels = ["00", "like"].map(|at| plant(at, &content(choice.3, 200 * usize::from(choice.0))));
        let second = Scope { leave_out: out.clone(), plant: labels.to_vec(), ..only(&names) };
        let is_taken_over =
            |path: &[u8]| !is_in(path) && !labels.iter().any(|label| label.path.as_bytes() == path);
        let crosses = first_tree.iter().any(|(path, line)| {
            let first = line.strip_prefix("h \"").and_then(|rest| rest.split_once('"'));
            is_taken_over(path) && first.is_some_and(|(first, _)| !is_taken_over(first.as_bytes()))
        });
        if crosses {
            refused(&mut lineage, root, second);
            continue;
        }
        let packed = lineage.snapshot(root, &by(second));
        let mut want: model::Tree = first_tree.into_iter().filter(|(path, _)| !is_in(path)).collect();
        want.extend(second_tree);
        let mut got = model::read(&lineage, &packed);
        for label in &labels {
            want.remove(label.path.as_bytes());
            got.remove(label.path.as_bytes()).unwrap();
            let entry = lineage.entry(&packed, &label.path.to_string());
            assert_eq!(PlantedContent::File(lineage.content(&entry).0), label.content);
        }
        model::assert_same(&got, &want);
        model::check_hashes(&lineage, &packed);
        assert_eq!(packed.used, lineage.count_used(&packed));
        lineage.prune(std::iter::once(&packed));
        if choice.2 % 2 == 0 {
            let want = model::record(root);
            let next = lineage.snapshot(root, &How::default());
            check(&lineage, &next, &want);
        }
    }
}

/// So many, unless the environment says otherwise.
fn cases(usual: u32) -> ProptestConfig {
    let config =
        ProptestConfig { failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() };
    let cases = if config.cases == 256 { usual } else { config.cases };
    ProptestConfig { cases, ..config }
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn any_two_passes(
        steps in proptest::collection::vec((deeds::deeds(14), deeds::deeds(8), any::<Choice>()), 8),
    ) {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        live(root.path(), steps);
    }
}
