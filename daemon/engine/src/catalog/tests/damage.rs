//! Damage, lost files, other versions.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use super::*;
use crate::catalog::{CatalogError, Filter, Opened};
use crate::durable;

/// All answers on which something is decided.
fn answers(catalog: &Catalog) -> Vec<Result<String, CatalogError>> {
    let mut all = vec![
        catalog.index_dump(),
        catalog.snapshots(&Filter::default()).map(|rows| format!("{rows:?}")),
        catalog.pins(STORE).map(|pins| format!("{pins:?}")),
        catalog.unfinished_runs().map(|runs| {
            let decisive = runs.iter().map(|run| (&run.id, run.state, &run.journal, run.snapshot));
            format!("{:?}", decisive.collect::<Vec<_>>())
        }),
    ];
    for name in ["db", "web:/var/lib/app"] {
        let lineage = lineage("vm-1", name);
        all.push(catalog.packs(STORE, &lineage).map(|packs| format!("{packs:?}")));
        all.push(catalog.newest(STORE, &lineage).map(|row| format!("{row:?}")));
        all.push(catalog.flags(STORE, &lineage).map(|flags| format!("{flags:?}")));
        all.push(catalog.damaged_packs(STORE, &lineage).map(|packs| format!("{packs:?}")));
        for n in 1..=12 {
            all.push(catalog.needed_by(STORE, &lineage, n * 4).map(|numbers| format!("{numbers:?}")));
        }
    }
    all
}

/// What it said when it was sound. `seen_at` is for people and not covered.
fn sound_answers(catalog: &Catalog) -> Vec<String> {
    answers(catalog).into_iter().map(|answer| without_seen(&answer.unwrap())).collect()
}

fn without_seen(answer: &str) -> String {
    let mut out = String::new();
    for (i, piece) in answer.split("seen_at: ").enumerate() {
        out +=
            if i == 0 { piece } else { piece.split_once([' ', ',', '}']).map_or("", |(_time, rest)| rest) };
    }
    out
}

/// D2: opens a copy of the catalog with damage done to it, and demands that every answer is the true one or a
/// refusal, or that the copy was set aside and said so; whichever way it is opened. Returns whether the damage was
/// noticed by those who check all of it.
#[track_caller]
fn check_damage(what: &str, damaged: &[u8], truth: &[String]) -> bool {
    check_opened(&format!("{what}, to look"), Catalog::open_to_look, damaged, truth);
    check_opened(what, Catalog::open, damaged, truth)
}

type Open = fn(&Path, Timestamp) -> Result<Opened, CatalogError>;

#[track_caller]
fn check_opened(what: &str, open: Open, damaged: &[u8], truth: &[String]) -> bool {
    let place = Place::new();
    File::create(place.path()).unwrap().write_all(damaged).unwrap();
    File::create(place.dir.path().join("catalog.sqlite.users")).unwrap().write_all(b"1").unwrap();
    let Opened { catalog, notice } = match open(&place.path(), at(0)) {
        Ok(opened) => opened,
        Err(refused) => {
            assert!(fs::read(place.path()).unwrap() == damaged, "{what}: refused ({refused}), yet changed");
            return true;
        }
    };
    if let Some(notice) = notice {
        assert!(notice.contains("backupctl catalog rebuild"), "{what}: {notice}");
        assert!(place.names().iter().any(|name| name.contains(".damaged-")), "{what}: {:?}", place.names());
        assert_eq!(catalog.events(1).unwrap()[0].text, notice);
        assert!(catalog.snapshots(&Filter::default()).unwrap().is_empty(), "{what}: half trusted");
        return true;
    }
    let mut noticed = false;
    for (answer, truth) in answers(&catalog).into_iter().zip(truth) {
        match answer {
            Ok(answer) => assert!(without_seen(&answer) == *truth, "{what}: a wrong answer: {answer:.400}"),
            Err(CatalogError::Damaged(_)) => noticed = true,
            Err(other) => panic!("{what}: {other}"),
        }
    }
    noticed
}

/// A sound catalog's file, whole, and its answers.
fn sound() -> (Vec<u8>, Vec<String>) {
    let place = Place::new();
    let catalog = place.open();
    fill(&catalog);
    let truth = sound_answers(&catalog);
    drop(catalog);
    assert_eq!(place.names(), ["catalog.sqlite", "catalog.sqlite.opening", "catalog.sqlite.users"]);
    (fs::read(place.path()).unwrap(), truth)
}

const PAGE: usize = 4096;

#[test]
fn a_page_of_zeros_is_never_a_wrong_answer() {
    let (bytes, truth) = sound();
    assert!(!check_damage("none at all", &bytes, &truth));
    let pages = bytes.len() / PAGE;
    assert!(pages > 15);
    let mut noticed = 0;
    for page in 0..pages {
        let mut damaged = bytes.clone();
        damaged[page * PAGE..(page + 1) * PAGE].fill(0);
        noticed += u32::from(check_damage(&format!("page {page} of zeros"), &damaged, &truth));
    }
    // A zeroed overflow page of an event's text is the one kind that nothing covers.
    assert!(noticed as usize >= pages - 1, "{noticed} of {pages}");
}

#[test]
fn a_cut_file_is_never_a_wrong_answer() {
    let (bytes, truth) = sound();
    let ends = (0..bytes.len()).step_by(PAGE).chain([1, 99, 100, 511, PAGE + 1]);
    for end in ends {
        assert!(check_damage(&format!("cut at {end}"), &bytes[..end], &truth), "cut at {end} went unnoticed");
    }
    // The last page is an event's text, whose end nothing covers.
    check_damage("cut by a byte", &bytes[..bytes.len() - 1], &truth);
}

#[test]
fn flipped_bits_are_never_a_wrong_answer() {
    let (bytes, truth) = sound();
    let mut seed = 0x2026_1121_u64;
    let mut random = || {
        // xorshift64: fixed, so that a failure can be had again.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut noticed = 0;
    for round in 0..250 {
        let mut damaged = bytes.clone();
        let mut flips = Vec::new();
        for _ in 0..=(round % 3) {
            let at = usize::try_from(random()).unwrap() % bytes.len();
            let bit = random() % 8;
            damaged[at] ^= 1 << bit;
            flips.push((at, bit));
        }
        noticed += u32::from(check_damage(&format!("flips {flips:?}"), &damaged, &truth));
    }
    // The others fell into free space or an event's text.
    assert!(noticed > 50, "{noticed} of 250");
}

/// The header's own fields: versions, sizes, free list.
#[test]
fn a_flipped_header_is_never_a_wrong_answer() {
    let (bytes, truth) = sound();
    for at in 0..100 {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        check_damage(&format!("header byte {at}"), &damaged, &truth);
    }
}

/// Who looks checks less, and says nothing wrong all the same; who writes has checked all of it before.
#[test]
fn a_part_is_checked_before_it_is_read_and_all_before_anything_is_written() {
    let place = Place::new();
    let catalog = place.open();
    fill(&catalog);
    let page: u32 = {
        let lock = catalog.lock();
        // An index that has lost its rows: SQLite does not see it until it is asked to compare.
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'needs_by_pack'";
        lock.query_row(root, [], |row| row.get(0)).unwrap()
    };
    drop(catalog);
    let mut bytes = fs::read(place.path()).unwrap();
    let at_page = (page as usize - 1) * PAGE;
    // No cells, and its content begins at the end of the page.
    bytes[at_page + 3..at_page + 7].copy_from_slice(&[0, 0, 0x10, 0]);
    durable::replace(&place.path(), &bytes, 0o600).unwrap();

    let Opened { catalog, notice } = Catalog::open_to_look(&place.path(), at(0)).unwrap();
    assert_eq!(notice, None, "packs were not looked at yet");
    assert_eq!(catalog.snapshots(&Filter::default()).unwrap().len(), 24);
    let db = lineage("vm-1", "db");
    assert!(matches!(catalog.needed_by(STORE, &db, 4), Err(CatalogError::Damaged(_))));
    let written = catalog.begin_run(&new_restore(99), at(0)).unwrap_err();
    assert!(written.hint().unwrap().contains("catalog rebuild"), "{written}");
    drop(catalog);
    let Opened { catalog, notice } = Catalog::open(&place.path(), at(0)).unwrap();
    assert!(notice.unwrap().contains("set aside"));
    catalog.begin_run(&new_restore(99), at(0)).unwrap();
}

/// D3: a catalog that was deleted is not taken for a first start.
#[test]
fn a_deleted_catalog_is_noticed() {
    let place = Place::new();
    fill(&place.open());
    fs::remove_file(place.path()).unwrap();
    let Opened { catalog, notice } = Catalog::open(&place.path(), at(0)).unwrap();
    let notice = notice.unwrap();
    assert!(notice.contains("the file is gone") && notice.contains("backupctl catalog rebuild"), "{notice}");
    assert_eq!(catalog.events(9).unwrap()[0].level, Level::Alarm);
    drop(catalog);
    drop(place.open());
}

/// D4: a log that outlived its catalog is not played into the next one.
#[test]
fn a_log_without_its_catalog_is_set_aside() {
    let place = Place::new();
    let catalog = place.open();
    fill(&catalog);
    let log = fs::read(place.dir.path().join("catalog.sqlite-wal")).unwrap();
    assert!(log.len() > PAGE);
    drop(catalog);
    let other = Place::new();
    durable::replace(&other.dir.path().join("catalog.sqlite-wal"), &log, 0o600).unwrap();
    let Opened { catalog, notice } = Catalog::open(&other.path(), at(0)).unwrap();
    assert!(notice.is_some());
    assert!(catalog.snapshots(&Filter::default()).unwrap().is_empty());
    let kept: Vec<_> = other.names().into_iter().filter(|name| name.contains("damaged")).collect();
    let [kept] = &kept[..] else { panic!("{kept:?}") };
    assert!(kept.ends_with("-wal") && fs::read(other.dir.path().join(kept)).unwrap() == log);
}

#[test]
fn damage_under_a_living_process_is_told_and_left() {
    let place = Place::new();
    let living = place.open();
    fill(&living);
    living.lock().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let mut file = File::options().write(true).open(place.path()).unwrap();
    file.seek(SeekFrom::Start(PAGE as u64)).unwrap();
    file.write_all(&[0; 8 * PAGE]).unwrap();
    drop(file);

    let refused = Catalog::open(&place.path(), at(0)).unwrap_err();
    assert!(matches!(refused, CatalogError::DamagedInUse { .. }), "{refused}");
    assert!(refused.hint().unwrap().contains("systemctl stop backupd"));
    assert!(!place.names().iter().any(|name| name.contains("damaged")));
    drop(living);
    let Opened { notice, .. } = Catalog::open(&place.path(), at(0)).unwrap();
    assert!(notice.unwrap().contains("set aside"));
}

/// What opening cannot see, a rebuild still gets rid of, and everything is kept twice over.
#[test]
fn beginning_anew_keeps_what_was_there() {
    let place = Place::new();
    let catalog = place.open();
    fill(&catalog);
    tamper(&catalog, "UPDATE runs SET state = 'ended'");
    let in_use = Catalog::begin_anew(&place.path(), "a row", at(0)).unwrap_err();
    assert!(matches!(in_use, CatalogError::DamagedInUse { .. }), "{in_use}");
    drop(catalog);
    for _ in 0..2 {
        let Opened { catalog, notice } = Catalog::begin_anew(&place.path(), "a row", at(0)).unwrap();
        assert!(notice.is_some() && catalog.unfinished_runs().unwrap().is_empty());
    }
    let kept: Vec<_> = place.names().into_iter().filter(|name| name.contains("damaged")).collect();
    assert_eq!(kept.len(), 2, "two in one second have two names: {kept:?}");
}

/// A14: refused by version, and not a byte of it is touched.
#[test]
fn a_newer_catalog_is_refused_and_left() {
    let place = Place::new();
    let catalog = place.open();
    catalog.lock().pragma_update(None, "user_version", 7).unwrap();
    drop(catalog);
    let before = fs::read(place.path()).unwrap();
    let refused = Catalog::open(&place.path(), at(0)).unwrap_err();
    assert!(matches!(refused, CatalogError::Newer { found: 7, .. }), "{refused}");
    assert_eq!(refused.hint().as_deref(), Some("use the newer program"));
    assert_eq!(fs::read(place.path()).unwrap(), before);
}

const BROKEN: &str = "CREATE TABLE more (id TEXT) STRICT; INSERT INTO no_such_table VALUES (1);";

/// D5: all steps or none, and what was there before is kept aside.
#[test]
fn a_migration_is_whole_or_not_there() {
    let place = Place::new();
    let catalog = place.open();
    fill(&catalog);
    let truth = catalog.index_dump().unwrap();
    drop(catalog);

    let failed = Catalog::open_with(&place.path(), at(0), &and_then(&[NEXT, BROKEN])).unwrap_err();
    assert!(matches!(failed, CatalogError::Sqlite(_)), "{failed}");
    let catalog = place.open();
    assert_eq!(catalog.index_dump().unwrap(), truth, "the old version, whole");
    drop(catalog);

    let migrated = Catalog::open_with(&place.path(), at(0), &and_then(&[NEXT])).unwrap();
    assert_eq!(migrated.notice, None);
    assert_eq!(migrated.catalog.index_dump().unwrap(), truth);
    let marks: u32 =
        migrated.catalog.lock().query_row("SELECT count(*) FROM marks", [], |row| row.get(0)).unwrap();
    assert_eq!(marks, 24);
    drop(migrated);
    let ours = u32::try_from(MIGRATIONS.len()).unwrap();
    let newer = Catalog::open(&place.path(), at(0)).unwrap_err();
    assert!(matches!(newer, CatalogError::Newer { found, .. } if found == ours + 1), "{newer}");

    let copy = place.dir.path().join(format!("catalog.sqlite.version-{ours}"));
    let opened = Catalog::open(&copy, at(0)).unwrap();
    assert_eq!(opened.catalog.index_dump().unwrap(), truth);
    assert!(!place.names().iter().any(|name| name.ends_with("version-copy")));
}

/// D4: a writer that does not let go is an error within a bound, not a wait for ever.
#[test]
fn a_held_catalog_is_busy_and_says_so() {
    let place = Place::new();
    let (holder, other) = (place.open(), place.open());
    other.lock().busy_timeout(std::time::Duration::from_millis(50)).unwrap();
    let held = holder.lock();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = other.begin_run(&new_restore(1), at(0)).unwrap_err();
    assert!(matches!(busy, CatalogError::Busy) && busy.is_retryable(), "{busy}");
    assert!(other.unfinished_runs().unwrap().is_empty(), "reading goes on");
    held.execute_batch("ROLLBACK").unwrap();
    other.begin_run(&new_restore(1), at(0)).unwrap();
}

#[test]
fn what_is_no_catalog_is_set_aside_not_overwritten() {
    let place = Place::new();
    let text = "not a database, but somebody's notes ".repeat(300);
    durable::replace(&place.path(), text.as_bytes(), 0o600).unwrap();
    let Opened { notice, .. } = Catalog::open(&place.path(), at(0)).unwrap();
    assert!(notice.is_some());
    let kept = place.names().into_iter().find(|name| name.contains("damaged")).unwrap();
    let mut read = String::new();
    File::open(place.dir.path().join(kept)).unwrap().read_to_string(&mut read).unwrap();
    assert_eq!(read, text);
}
