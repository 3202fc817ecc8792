//! Packs that a verification found damaged, and what becomes of that.

use super::*;
use crate::catalog::CatalogError;

fn name(of: u64) -> String {
    Lineage::pack_name(number(of), at(1), &run_id(of), 0)
}

fn found(catalog: &Catalog, lineage: &Lineage) -> Vec<String> {
    catalog.damaged_packs(STORE, lineage).unwrap().into_iter().collect()
}

#[test]
fn what_a_verification_found_last_counts() {
    let place = Place::new();
    let (catalog, db, web) = (place.open(), lineage("vm-1", "db"), lineage("vm-1", "web"));
    for second in 1..=2 {
        catalog.note_packs(STORE, &db, &["a", "b"], &["c"], at(second)).unwrap();
    }
    catalog.note_packs(STORE, &web, &["a"], &[], at(3)).unwrap();
    assert_eq!(found(&catalog, &db), ["a", "b"]);
    assert!(catalog.damaged_packs("another", &db).unwrap().is_empty());
    catalog.note_packs(STORE, &db, &[], &["a", "c"], at(4)).unwrap();
    assert_eq!((found(&catalog, &db), found(&catalog, &web)), (vec!["b".to_owned()], vec!["a".to_owned()]));
    catalog.replace_index(STORE, &[]).unwrap();
    assert_eq!(found(&catalog, &db), ["b"], "a rebuild keeps it");
    tamper(&catalog, "UPDATE damaged_packs SET pack = 'd' WHERE pack = 'b'");
    assert!(matches!(catalog.damaged_packs(STORE, &db), Err(CatalogError::Damaged(_))));
}

#[test]
fn a_damaged_pack_is_forgotten_with_the_last_snapshot_that_needs_it() {
    let place = Place::new();
    let (catalog, db) = (place.open(), lineage("vm-1", "db"));
    for (n, needs) in [(1, &[1][..]), (2, &[1, 2]), (3, &[2])] {
        catalog.put_snapshot(&row(&db, n, 1, needs)).unwrap();
    }
    let (first, second) = (name(1), name(2));
    catalog.note_packs(STORE, &db, &[&first, &second], &[], at(1)).unwrap();
    catalog.forget(&key_of(&db, 1)).unwrap();
    assert_eq!(found(&catalog, &db), [first, second.clone()]);
    catalog.forget(&key_of(&db, 2)).unwrap();
    assert_eq!(found(&catalog, &db), [second]);
    catalog.forget(&key_of(&db, 3)).unwrap();
    assert!(found(&catalog, &db).is_empty());
}
