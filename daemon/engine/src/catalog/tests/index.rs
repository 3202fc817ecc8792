//! The index: what it holds, in which order, and that the stores give the same back.

use super::*;
use crate::catalog::rebuild::{IndexError, index_rows};
use crate::catalog::{CatalogError, Filter, PackRow, SnapshotRow, Verified, VerifiedResult};
use crate::format::manifest::ManifestError;
use crate::format::signed::SignatureError;

fn all() -> Filter {
    Filter { deleted: true, ..Filter::default() }
}

#[track_caller]
fn check(catalog: &Catalog, filter: &Filter, want: &[&str]) {
    let got: Vec<_> = catalog.snapshots(filter).unwrap().iter().map(|row| row.key.to_string()).collect();
    assert_eq!(got, want, "{filter:?}");
}

#[test]
fn one_lineage_is_found_without_reading_all() {
    let place = Place::new();
    let catalog = place.open();
    let steps = catalog.read(|t| {
        let mut query =
            t.prepare(&format!("EXPLAIN QUERY PLAN {}", crate::catalog::snapshots::selecting()))?;
        let mut rows = query.query(("store", "vm-1", "db", true))?;
        let mut steps = Vec::new();
        while let Some(row) = rows.next()? {
            steps.push(row.get::<_, String>(3)?);
        }
        Ok(steps)
    });
    let steps = steps.unwrap();
    let of_snapshots: Vec<_> = steps.iter().filter(|step| step.contains(" n ")).collect();
    assert!(of_snapshots.len() == 1 && of_snapshots[0].starts_with("SEARCH n USING "), "{steps:?}");
}

#[test]
fn snapshots_come_in_the_order_in_which_they_were_taken() {
    let place = Place::new();
    let catalog = place.open();
    let (db, web) = (lineage("vm-1", "db"), lineage("vm-2", "web:/srv"));
    // The clock was set back between 2 and 3; 4 was taken in the same instant as 2.
    for (lineage, n, taken) in [(&db, 1, 10), (&db, 2, 30), (&db, 3, 20), (&db, 4, 30), (&web, 1, 25)] {
        catalog.put_snapshot(&row(lineage, n, taken, &[n])).unwrap();
    }
    catalog.mark_deleted(&key_of(&db, 4), at(99)).unwrap();

    check(&catalog, &Filter::default(), &["vm-1/db@1", "vm-1/db@3", "vm-2/web:/srv@1", "vm-1/db@2"]);
    check(&catalog, &all(), &["vm-1/db@1", "vm-1/db@3", "vm-2/web:/srv@1", "vm-1/db@2", "vm-1/db@4"]);
    let source = Some(web.source.clone());
    check(&catalog, &Filter { source, ..Filter::default() }, &["vm-2/web:/srv@1"]);
    let host = Some(db.host.clone());
    check(&catalog, &Filter { host, ..Filter::default() }, &["vm-1/db@1", "vm-1/db@3", "vm-1/db@2"]);
    let store = Some("file:///elsewhere".to_owned());
    check(&catalog, &Filter { store, ..all() }, &[]);

    let newest = |lineage| catalog.newest(STORE, lineage).unwrap().map(|row| row.key.number.get());
    assert_eq!((newest(&db), newest(&web)), (Some(2), Some(1)));
    catalog.mark_undeleted(&key_of(&db, 4)).unwrap();
    assert_eq!(newest(&db), Some(4), "of two of one instant, the higher number");
    assert_eq!(newest(&lineage("vm-2", "db")), None);
}

#[test]
fn a_row_comes_back_as_it_was_put_and_twice_is_once() {
    let place = Place::new();
    let catalog = place.open();
    let web = lineage("vm-1", "web:/var/lib/app");
    let put = row(&web, 5, 10, &[3, 5]);
    catalog.put_snapshot(&put).unwrap();
    let dump = catalog.index_dump().unwrap();
    catalog.put_snapshot(&put).unwrap();
    assert_eq!(catalog.index_dump().unwrap(), dump);

    let key = key_of(&web, 5);
    let found = catalog.snapshot(&key).unwrap().unwrap();
    assert_eq!(found, put.snapshot);
    assert!(found.partial && !found.by_hand && found.sent_bytes == 1005);
    assert_eq!(catalog.packs(STORE, &web).unwrap(), put.packs);
    assert_eq!(catalog.snapshot(&key_of(&web, 6)).unwrap(), None);
}

#[test]
fn what_this_host_found_out_is_kept() {
    let place = Place::new();
    let catalog = place.open();
    let db = lineage("vm-1", "db");
    let (key, put) = (key_of(&db, 1), row(&db, 1, 10, &[1]));
    catalog.put_snapshot(&put).unwrap();
    let verified = Verified { at: at(50), result: VerifiedResult::Damaged };
    catalog.mark_verified(&key, verified).unwrap();
    catalog.mark_deleted(&key, at(60)).unwrap();
    catalog.mark_deleted(&key, at(70)).unwrap();
    catalog.mark_seen(STORE, &db, &[number(1), number(2)], at(80)).unwrap();
    let get = || catalog.snapshot(&key).unwrap().unwrap();
    let want = SnapshotRow {
        verified: Some(verified),
        deleted_at: Some(at(60)),
        set: None,
        seen_at: at(80),
        ..put.snapshot.clone()
    };
    assert_eq!(get(), want);

    // Seen again in the store as deleted: since when stays. Seen live: it was undeleted.
    let mut again = put.clone();
    again.snapshot.deleted_at = Some(at(90));
    catalog.put_snapshot(&again).unwrap();
    assert_eq!((get().deleted_at, get().verified), (Some(at(60)), Some(verified)));
    catalog.put_snapshot(&put).unwrap();
    assert_eq!((get().deleted_at, get().verified), (None, Some(verified)));

    let missing = catalog.mark_deleted(&key_of(&db, 2), at(1)).unwrap_err();
    assert!(matches!(missing, CatalogError::NoSnapshot(_)), "{missing}");
}

/// E22: another manifest under a number that is known was put there by somebody.
#[test]
fn a_replaced_manifest_is_an_alarm_and_changes_nothing() {
    let place = Place::new();
    let catalog = place.open();
    let db = lineage("vm-1", "db");
    catalog.put_snapshot(&row(&db, 1, 10, &[1])).unwrap();
    let dump = catalog.index_dump().unwrap();
    let refused = catalog.put_snapshot(&row(&db, 1, 11, &[1])).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "snapshot `vm-1/db@1` has another manifest than the one that this host remembers"
    );
    assert!(refused.hint().unwrap().contains("backupctl verify vm-1/db@1"));
    assert_eq!(catalog.index_dump().unwrap(), dump);
}

#[test]
fn a_pack_is_known_for_as_long_as_a_snapshot_needs_it() {
    let place = Place::new();
    let catalog = place.open();
    let (db, web) = (lineage("vm-1", "db"), lineage("vm-1", "web"));
    for (n, needs) in [(1, &[1][..]), (2, &[1, 2]), (3, &[2, 3])] {
        catalog.put_snapshot(&row(&db, n, 0, needs)).unwrap();
    }
    catalog.put_snapshot(&row(&web, 1, 0, &[1])).unwrap();
    let ids = || {
        let packs = catalog.packs(STORE, &db).unwrap();
        packs.iter().map(|PackRow { id, .. }| id / 4).collect::<Vec<_>>()
    };
    let needed_by = |pack: u64| {
        let numbers = catalog.needed_by(STORE, &db, number(pack).pack_id(0)).unwrap();
        numbers.into_iter().map(Number::get).collect::<Vec<_>>()
    };
    assert_eq!((ids(), needed_by(1), needed_by(2)), (vec![1, 2, 3], vec![1, 2], vec![2, 3]));
    catalog.mark_deleted(&key_of(&db, 2), at(9)).unwrap();
    catalog.forget(&key_of(&db, 1)).unwrap();
    assert_eq!((ids(), needed_by(1)), (vec![1, 2, 3], vec![2]), "a soft-deleted one needs its packs");
    catalog.forget(&key_of(&db, 2)).unwrap();
    catalog.forget(&key_of(&db, 2)).unwrap();
    assert_eq!((ids(), needed_by(2)), (vec![2, 3], vec![3]));
    catalog.forget(&key_of(&db, 3)).unwrap();
    assert!(!catalog.index_dump().unwrap().contains(" db"), "nothing of the lineage is left");
    assert_eq!(catalog.packs(STORE, &web).unwrap().len(), 1, "another lineage is another lineage");
}

/// Invariant 9, O9: the catalog that was lost comes back from the store alone.
#[test]
fn a_rebuild_gives_the_same_index() {
    let (kept, lost) = (Place::new(), Place::new());
    let catalog = kept.open();
    let mut objects = Vec::new();
    for (name, count) in [("db", 12_u64), ("web:/srv/é", 7)] {
        let lineage = lineage("vm-1", name);
        for n in 1..=count {
            let needs: Vec<u64> = (n.saturating_sub(2).max(1)..=n).collect();
            objects.push(object(&lineage, n, i64::try_from(n).unwrap(), &needs));
            catalog.put_snapshot(&row(&lineage, n, i64::try_from(n).unwrap(), &needs)).unwrap();
        }
        catalog
            .mark_verified(&key_of(&lineage, 2), Verified { at: at(1), result: VerifiedResult::Good })
            .unwrap();
        // Number 3 was soft-deleted, number 1 is gone for good.
        catalog.mark_deleted(&key_of(&lineage, 3), at(7)).unwrap();
        catalog.forget(&key_of(&lineage, 1)).unwrap();
        objects.retain(|(key, _)| *key != lineage.manifest(number(1)));
        for (key, _) in &mut objects {
            if *key == lineage.manifest(number(3)) {
                *key = lineage.deleted(number(3));
            }
        }
    }
    objects.reverse();
    let (rows, passed_over) = index_rows(STORE, &objects, |_host| Some(host_key().public()), at(1000));
    assert!(passed_over.is_empty(), "{passed_over:?}");
    let rebuilt = lost.open();
    rebuilt.replace_index(STORE, &rows).unwrap();
    assert_eq!(rebuilt.index_dump().unwrap(), catalog.index_dump().unwrap());
    // 11 and 6 snapshots, 12 and 7 packs (the first one's is still needed), 2 sources.
    assert_eq!(catalog.index_dump().unwrap().lines().count(), 38);
    let deleted = rebuilt.snapshot(&key_of(&lineage("vm-1", "db"), 3)).unwrap().unwrap();
    assert_eq!(deleted.deleted_at, Some(at(1000)), "the grace begins anew, never earlier");
}

#[test]
fn a_rebuild_over_a_living_catalog_keeps_what_is_known_and_leaves_other_stores_alone() {
    let place = Place::new();
    let catalog = place.open();
    let db = lineage("vm-1", "db");
    for n in 1..=3 {
        catalog.put_snapshot(&row(&db, n, 0, &[n])).unwrap();
    }
    let mut elsewhere = row(&db, 9, 0, &[9]);
    elsewhere.snapshot.key.store = "file:///other".to_owned();
    catalog.put_snapshot(&elsewhere).unwrap();
    let verified = Verified { at: at(50), result: VerifiedResult::Good };
    catalog.mark_verified(&key_of(&db, 1), verified).unwrap();
    catalog.mark_verified(&key_of(&db, 2), verified).unwrap();

    // The store has 1 as it was, another 2, and no 3 any more.
    catalog.replace_index(STORE, &[row(&db, 1, 0, &[1]), row(&db, 2, 77, &[2])]).unwrap();
    let found = catalog.snapshots(&all()).unwrap();
    let told: Vec<_> = found.iter().map(|row| (row.key.number.get(), row.verified)).collect();
    assert_eq!(told, [(1, Some(verified)), (9, None), (2, None)]);
}

/// J14, J15: what is not ours gives no row, says why, and hides nothing else.
#[test]
fn a_rebuild_passes_over_what_it_cannot_trust() {
    let db = lineage("vm-1", "db");
    let (good_key, good) = object(&db, 1, 0, &[1]);
    let forger = HostKey::from_seed([6; 32]);
    let forged = signed::seal(&manifest(&db, 2, 0, &[2]), &forger).unwrap();
    let mut torn = good.to_vec();
    torn[40] ^= 1;
    let newer = signed::seal(&serde_json::json!({"format": 2}), &host_key()).unwrap();
    let objects = [
        (db.manifest(number(2)), forged),
        (db.manifest(number(3)), good.clone()),
        (db.manifest(number(4)), torn.into()),
        (db.manifest(number(5)), newer),
        ("vm-1/db/README".to_owned(), good.clone()),
        (lineage("vm-1", "web").manifest(number(1)), good.clone()),
        (good_key, good.clone()),
        // A delete that was cut off: both are there, and the live one counts.
        (db.deleted(number(1)), good),
    ];
    let (rows, passed_over) = index_rows(STORE, &objects, |_host| Some(host_key().public()), at(9));
    assert_eq!(rows, [row_at(&db, 9)]);
    let reasons: Vec<_> = passed_over.iter().map(|one| &one.why).collect();
    assert!(
        matches!(
            reasons[..],
            [
                IndexError::Signature(SignatureError::OtherKey { .. }),
                IndexError::Manifest(ManifestError::Misplaced(_)),
                IndexError::Signature(SignatureError::Wrong { .. }),
                IndexError::Manifest(ManifestError::Version(2)),
                IndexError::Name,
                IndexError::Manifest(ManifestError::Misplaced(_)),
            ]
        ),
        "{passed_over:?}"
    );
    let nobody_known = index_rows(STORE, &objects, |_host| None, at(9)).0;
    assert_eq!(nobody_known.len(), 2, "without an expected key, any whole signature will do");
}

fn row_at(lineage: &Lineage, seen: i64) -> IndexRow {
    let mut row = row(lineage, 1, 0, &[1]);
    row.snapshot.seen_at = at(seen);
    row
}

#[test]
fn a_value_that_was_changed_on_disk_is_never_an_answer() {
    let db = lineage("vm-1", "db");
    for (sql, what) in [
        ("UPDATE snapshots SET bytes = bytes + 1", "row"),
        ("UPDATE snapshots SET deleted_at = 1", "row"),
        ("UPDATE snapshots SET kind = 'fill'", "row"),
        ("UPDATE snapshots SET taken_at = taken_at + 1", "row"),
        ("UPDATE snapshots SET number = 2", "row"),
        ("UPDATE sources SET source = 'dc'", "row"),
        ("UPDATE stores SET name = 's3://backups/prof'", "row"),
        ("UPDATE packs SET length = length + 1", "packs"),
        ("UPDATE needs SET digest = x'00'", "needs"),
    ] {
        let place = Place::new();
        let catalog = place.open();
        catalog.put_snapshot(&row(&db, 1, 10, &[1])).unwrap();
        catalog.lock().execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        tamper(&catalog, sql);
        let answer = match what {
            "row" => catalog.snapshots(&all()).map(|_| ()),
            "packs" => catalog.packs(STORE, &db).map(|_| ()),
            _ => catalog.needed_by(STORE, &db, 4).map(|_| ()),
        };
        let refused = answer.expect_err(sql);
        assert!(matches!(refused, CatalogError::Damaged(_)), "{sql}: {refused}");
        assert!(refused.hint().unwrap().contains("backupctl catalog rebuild"));
    }
}

#[test]
fn ten_thousand_snapshots_are_listed_whole_and_in_order() {
    let place = Place::new();
    let catalog = place.open();
    let db = lineage("vm-1", "db");
    let first = row(&db, 1, 0, &[1]);
    let rows: Vec<_> = (1..=10_000)
        .map(|n| {
            let mut row = first.clone();
            row.snapshot.key.number = number(n);
            row.snapshot.taken_at = at(i64::try_from(n * 7919 % 10_007).unwrap());
            row
        })
        .collect();
    catalog.replace_index(STORE, &rows).unwrap();
    let listed = catalog.snapshots(&all()).unwrap();
    assert_eq!(listed.len(), 10_000);
    assert!(listed.is_sorted_by_key(|row| (row.taken_at, row.key.number)));
    let newest = catalog.newest(STORE, &db).unwrap().unwrap();
    assert_eq!(newest.key, listed.last().unwrap().key);
    catalog.check().unwrap();
}

#[test]
fn a_catalog_that_has_manifests_gets_rid_of_them() {
    let place = Place::new();
    let db = lineage("vm-1", "db");
    let old = Catalog::open_with(&place.path(), at(0), &MIGRATIONS[..4]).unwrap().catalog;
    let rows: Vec<_> = (1..=300).map(|n| row(&db, n, 10, &[n])).collect();
    old.replace_index(STORE, &rows).unwrap();
    old.lock().execute("UPDATE snapshots SET manifest = zeroblob(3000)", []).unwrap();
    let dump = old.index_dump().unwrap();
    drop(old);
    let length = || std::fs::metadata(place.path()).unwrap().len();
    let before = length();
    let catalog = place.open();
    assert_eq!(catalog.index_dump().unwrap(), dump);
    catalog.check().unwrap();
    drop(catalog);
    assert!(length() * 4 < before, "{} of {before}", length());
}
