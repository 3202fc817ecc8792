//! What people and the guard said of snapshots, and what becomes of it.

use super::*;
use crate::catalog::{CatalogError, Outcome};
use crate::failure::Class;

fn shrunk() -> Flag {
    Flag::Shrunk { from: 900, to: 9, limit: 50 }
}

fn pin(n: u64, note: &str) -> Pin {
    Pin { key: key_of(&lineage("vm-1", "db"), n), at: at(1), note: note.to_owned() }
}

/// A file of the first released version keeps every row, and takes what is new.
#[test]
fn version_1_becomes_version_2_with_all_its_rows() {
    let place = Place::new();
    let db = lineage("vm-1", "db");
    let old = Catalog::open_with(&place.path(), at(0), &MIGRATIONS[..1]).unwrap().catalog;
    for n in 1..=3 {
        // As a commit writes it; only forgetting asks the tables of later versions.
        old.put_snapshot(&row(&db, n, i64::try_from(n).unwrap(), &[n])).unwrap();
    }
    old.begin_run(&new_restore(1), at(0)).unwrap();
    let (index, runs) = (old.index_dump().unwrap(), old.runs(9).unwrap());
    drop(old);

    let new = place.open();
    assert_eq!((new.index_dump().unwrap(), new.runs(9).unwrap()), (index, runs));
    assert_eq!((new.pins(STORE).unwrap(), new.flags(STORE, &db).unwrap()), (vec![], vec![]));
    new.pin(&pin(2, "")).unwrap();
    new.set_flags(&key_of(&db, 3), &[shrunk()], at(4)).unwrap();
    assert!(place.names().contains(&"catalog.sqlite.version-1".to_owned()), "{:?}", place.names());
}

#[test]
fn a_pin_stays_until_it_is_taken_away_or_its_snapshot_is_gone() {
    let place = Place::new();
    let catalog = place.open();
    let long = "é".repeat(2000);
    for (n, note) in [(1, "a"), (2, "b"), (1, long.as_str())] {
        catalog.pin(&pin(n, note)).unwrap();
    }
    let pins = catalog.pins(STORE).unwrap();
    assert_eq!((pins.len(), pins[0].note.len(), &pins[1]), (2, 1024, &pin(2, "b")));
    assert!(catalog.pins("another").unwrap().is_empty());
    assert!(catalog.unpin(&pin(2, "").key).unwrap());
    assert!(!catalog.unpin(&pin(2, "").key).unwrap());
    catalog.forget(&pin(1, "").key).unwrap();
    assert!(catalog.pins(STORE).unwrap().is_empty());
}

#[test]
fn a_flag_stays_until_it_is_acknowledged_and_what_is_said_anew_counts() {
    let place = Place::new();
    let (catalog, db) = (place.open(), lineage("vm-1", "db"));
    let lost = Flag::FilesLost { from: 1000, to: 1, limit: 20 };
    let other = Flag::IdentityChanged { from: "a".to_owned(), to: None };
    catalog.set_flags(&key_of(&db, 3), &[shrunk(), lost.clone()], at(1)).unwrap();
    // Number 3 was never committed, and its successor has it now.
    catalog.set_flags(&key_of(&db, 3), &[shrunk()], at(2)).unwrap();
    catalog.set_flags(&key_of(&db, 4), &[lost.clone(), other.clone()], at(3)).unwrap();
    catalog.set_flags(&key_of(&lineage("vm-1", "web"), 4), &[lost], at(3)).unwrap();
    let said = catalog.acknowledge(STORE, &db, at(9)).unwrap();
    let numbers: Vec<_> = said.iter().map(|flagged| flagged.key.number.get()).collect();
    assert_eq!(numbers, [3, 4, 4]);
    assert_eq!(catalog.acknowledge(STORE, &db, at(10)).unwrap(), []);
    assert_eq!(catalog.flags(STORE, &db).unwrap(), said, "acknowledged, and not forgotten");
    assert!(said.iter().any(|flagged| flagged.flag == other && flagged.acknowledged_at == Some(at(9))));
    assert_eq!(catalog.flags(STORE, &lineage("vm-1", "web")).unwrap()[0].acknowledged_at, None);
    catalog.forget(&key_of(&db, 4)).unwrap();
    assert_eq!(catalog.flags(STORE, &db).unwrap().len(), 1);
}

#[test]
fn what_was_said_survives_a_rebuild_and_a_changed_bit_in_it_is_no_answer() {
    let place = Place::new();
    let catalog = place.open();
    fill(&catalog);
    catalog.replace_index(STORE, &[]).unwrap();
    assert_eq!(catalog.pins(STORE).unwrap(), [pin(3, "before the upgrade")]);
    tamper(&catalog, "UPDATE pins SET number = 4");
    assert!(matches!(catalog.pins(STORE), Err(CatalogError::Damaged(_))));
    tamper(&catalog, "UPDATE flags SET acknowledged_at = 1");
    assert!(matches!(catalog.flags(STORE, &lineage("vm-1", "db")), Err(CatalogError::Damaged(_))));
}

#[test]
fn only_a_backup_that_failed_by_itself_is_a_failed_one() {
    let place = Place::new();
    let (catalog, db) = (place.open(), lineage("vm-1", "db"));
    let outcomes = [
        (Verb::Backup, Outcome::Not(Class::Failed)),
        (Verb::Backup, Outcome::Not(Class::Unsafe)),
        (Verb::Backup, Outcome::Done),
        (Verb::Backup, Outcome::Not(Class::Interrupted)),
        (Verb::Backup, Outcome::Not(Class::Busy)),
        (Verb::Verify, Outcome::Not(Class::Failed)),
    ];
    for (n, (verb, outcome)) in (1..).zip(outcomes) {
        let (host, source) = (db.host.clone(), Some(db.source.clone()));
        let new = NewRun { verb, host, source, ..new_restore(n) };
        let began = at(i64::try_from(n).unwrap());
        catalog.begin_run(&new, began).unwrap();
        catalog.finish_run(&new.id, outcome, None, began).unwrap();
    }
    assert_eq!(catalog.failed_at(&db, at(9)).unwrap(), Some(at(2)));
    // H2: by a clock that was ahead.
    assert_eq!(catalog.failed_at(&db, at(1)).unwrap(), Some(at(1)));
    assert_eq!(catalog.failed_at(&db, at(0)).unwrap(), None);
    assert_eq!(catalog.failed_at(&lineage("vm-1", "web"), at(9)).unwrap(), None);
    assert_eq!(catalog.pruned_at(STORE, &db).unwrap(), None);
    for second in [5, 7] {
        catalog.note_pruned(STORE, &db, at(second)).unwrap();
    }
    assert_eq!(catalog.pruned_at(STORE, &db).unwrap(), Some(at(7)));
}
