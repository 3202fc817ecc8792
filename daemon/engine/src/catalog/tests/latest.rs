//! The newest of each source.

use super::*;
use crate::catalog::Outcome;

#[test]
fn the_newest_of_each_source_is_found_and_no_other_hosts() {
    let place = Place::new();
    let catalog = place.open();
    let begin = |n: u64, source: &str, verb: Verb, second: i64| {
        let (host, source) = ("vm-1".parse().unwrap(), Some(source.parse().unwrap()));
        let new = NewRun { id: run_id(n), verb, host, source, store: None, pid: 1 };
        catalog.begin_run(&new, at(second)).unwrap();
        catalog.finish_run(&run_id(n), Outcome::Done, None, at(second + 1)).unwrap();
    };
    for (n, source, second) in [(1, "db", 10), (2, "db", 30), (3, "db", 20), (4, "web", 5)] {
        begin(n, source, Verb::Backup, second);
    }
    begin(5, "web", Verb::Verify, 50);
    let host = "vm-1".parse().unwrap();
    let ids = |each, until| {
        let rows = catalog.latest_backups(&host, each, until).unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(1, None), [run_id(2), run_id(4)]);
    assert_eq!(ids(2, None), [run_id(2), run_id(3), run_id(4)]);
    // H2: what began by a clock that was ahead hides nothing, unless it is still on.
    assert_eq!(ids(1, Some(at(29))), [run_id(3), run_id(4)]);
    let new = NewRun {
        id: run_id(6),
        verb: Verb::Backup,
        host: "vm-1".parse().unwrap(),
        source: Some("db".parse().unwrap()),
        store: None,
        pid: 1,
    };
    catalog.begin_run(&new, at(900)).unwrap();
    assert_eq!(ids(1, Some(at(29))), [run_id(6), run_id(4)]);

    let (db, far) = (lineage("vm-1", "db"), lineage("far", "db"));
    for row in [row(&db, 1, 100, &[1]), row(&db, 2, 200, &[2]), row(&far, 1, 900, &[1])] {
        catalog.put_snapshot(&row).unwrap();
    }
    let mut elsewhere = row(&db, 7, 700, &[7]);
    elsewhere.snapshot.key.store = "file:///elsewhere".to_owned();
    catalog.put_snapshot(&elsewhere).unwrap();
    let latest = catalog.latest_snapshots(&host, None).unwrap();
    let of = |second| BTreeMap::from([("db".parse().unwrap(), at(second))]);
    assert_eq!(latest, BTreeMap::from([(STORE.into(), of(200)), ("file:///elsewhere".into(), of(700))]));
    // What a clock took that went ahead hides nothing.
    let latest = catalog.latest_snapshots(&host, Some(at(200))).unwrap();
    assert_eq!(latest, BTreeMap::from([(STORE.into(), of(200))]));
    let latest = catalog.latest_snapshots(&host, Some(at(199))).unwrap();
    assert_eq!(latest, BTreeMap::from([(STORE.into(), of(100))]));
    assert_eq!(catalog.stores().unwrap(), [STORE, "file:///elsewhere"]);
    assert_eq!(catalog.lineages(STORE, Some(&host)).unwrap(), std::slice::from_ref(&db));
    assert_eq!(catalog.lineages(STORE, None).unwrap(), [far.clone(), lineage("vm-1", "db")]);
    assert_eq!(catalog.backed_up(&host).unwrap(), ["db".parse().unwrap()]);

    catalog.forget(&elsewhere.snapshot.key).unwrap();
    assert_eq!(catalog.stores().unwrap(), [STORE]);
    for row in [row(&db, 3, 300, &[3]), row(&lineage("vm-1", "web"), 1, 250, &[1])] {
        catalog.put_snapshot(&row).unwrap();
    }
    let newest = |each| {
        let rows = catalog.newest_snapshots(&host, each).unwrap();
        rows.iter().map(|row| format!("{}@{}", row.key.source, row.key.number)).collect::<Vec<_>>()
    };
    assert_eq!(newest(9), ["db@1", "db@2", "web@1", "db@3"]);
    assert_eq!(newest(1), ["web@1", "db@3"]);
    catalog.mark_deleted(&row(&db, 3, 300, &[3]).snapshot.key, at(400)).unwrap();
    assert_eq!(newest(1), ["db@2", "web@1"]);
}
