//! What drills found.

use super::*;
use crate::catalog::{DRILLS_MAX, DrillResult, DrillRow, OUTPUT_BYTES_MAX};

fn drill(run: u64, source: &str, snapshot: u64, second: i64, result: DrillResult) -> DrillRow {
    DrillRow {
        run: run_id(run),
        key: key_of(&lineage("vm-1", source), snapshot),
        at: at(second),
        checker: "postgres".to_owned(),
        result,
        what: "all of it".to_owned(),
        restore_ms: Some(1500),
        ms: 2500,
    }
}

#[test]
fn drills_come_back_and_the_last_judgement_of_a_snapshot_counts() {
    let place = Place::new();
    let catalog = place.open();
    let rows = [
        drill(1, "db", 1, 10, DrillResult::Proven),
        drill(2, "db", 1, 20, DrillResult::Unproven),
        DrillRow { restore_ms: None, ..drill(3, "db", 1, 30, DrillResult::Failed) },
        drill(4, "web", 7, 15, DrillResult::Unchecked),
    ];
    for row in &rows {
        catalog.note_drill(row, "LOG: ready\n").unwrap();
    }
    let (host, db) = ("vm-1".parse().unwrap(), "db".parse().unwrap());
    assert_eq!(catalog.drills(STORE, Some(&host), Some(&db)).unwrap(), rows[..3]);
    assert_eq!(catalog.drills(STORE, None, None).unwrap().len(), 4);
    assert_eq!(catalog.drills("file:///other", None, None).unwrap(), []);
    let judged = catalog.judged(STORE, None, None).unwrap();
    assert_eq!(judged.values().collect::<Vec<_>>(), [&rows[1], &rows[3]]);
    drop(catalog);
    let catalog = place.open();
    assert_eq!(catalog.drill_output(&run_id(1)).unwrap(), "LOG: ready\n");
    assert_eq!(catalog.drill_output(&run_id(9)).unwrap(), "");
}

#[test]
fn drills_and_their_words_are_bounded() {
    let place = Place::new();
    let catalog = place.open();
    let many = u64::from(DRILLS_MAX) + 5;
    for n in 1..=many {
        let row = drill(n, "db", n, i64::try_from(n).unwrap(), DrillResult::Proven);
        catalog.note_drill(&DrillRow { what: "é".repeat(9000), ..row }, &"é".repeat(20_000)).unwrap();
    }
    catalog.note_drill(&drill(900, "web", 1, 1, DrillResult::Proven), "").unwrap();
    let kept = catalog.drills(STORE, None, None).unwrap();
    assert_eq!(kept.iter().filter(|row| row.key.source.to_string() == "db").count(), DRILLS_MAX as usize);
    let newest = kept.last().unwrap();
    assert!(newest.run == run_id(many) && newest.what.len() <= 4 << 10, "{newest:?}");
    assert!(catalog.drill_output(&run_id(many)).unwrap().len() <= OUTPUT_BYTES_MAX);
}

/// One bit of a verdict that changes on disk is seen.
#[test]
fn a_verdict_that_was_changed_on_disk_is_not_believed() {
    let place = Place::new();
    let catalog = place.open();
    catalog.note_drill(&drill(1, "db", 1, 10, DrillResult::Unproven), "").unwrap();
    catalog.lock().execute("UPDATE drills SET result = 'proven'", []).unwrap();
    assert!(matches!(catalog.drills(STORE, None, None), Err(crate::catalog::CatalogError::Damaged(_))));
}

#[test]
fn an_older_catalog_has_no_drills() {
    let place = Place::new();
    drop(Catalog::open_with(&place.path(), at(0), &MIGRATIONS[..3]).unwrap().catalog);
    let catalog = place.open();
    assert_eq!(catalog.drills(STORE, None, None).unwrap(), []);
    catalog.note_drill(&drill(1, "db", 1, 10, DrillResult::Proven), "").unwrap();
}
