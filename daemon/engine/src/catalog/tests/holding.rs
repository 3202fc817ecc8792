//! Containers that runs hold.

use super::*;
use crate::catalog::journal::StoppedContainer;
use crate::catalog::{CatalogError, How};

fn container(name: &str) -> StoppedContainer {
    StoppedContainer {
        id: format!("id-of-{name}"),
        name: name.to_owned(),
        restart_policy: "always".to_owned(),
        was_running: true,
        started_at: Some(at(3)),
        compose: None,
    }
}

#[test]
fn a_container_is_claimed_by_one_run_at_a_time_and_all_of_them_or_none() {
    let place = Place::new();
    let catalog = place.open();
    let claim = |run, names: &[&str]| {
        let containers: Vec<_> = names.iter().map(|name| container(name)).collect();
        catalog.claim(&run_id(run), &How::Pause, &containers).unwrap()
    };
    assert_eq!(claim(1, &["web", "db"]), None);
    assert_eq!(claim(2, &["other", "db"]), Some(run_id(1)));
    assert_eq!(claim(2, &["other"]), None);
    let held = || -> Vec<_> {
        let all = catalog.freezes().unwrap();
        all.into_iter().map(|freeze| (freeze.run, freeze.was.name, freeze.begun)).collect()
    };
    let row = |run, name: &str, begun| (run_id(run), name.to_owned(), begun);
    assert_eq!(held(), [row(1, "web", false), row(1, "db", false), row(2, "other", false)]);
    catalog.begin_freeze("id-of-db", &How::Pause).unwrap();
    assert!(matches!(catalog.begin_freeze("id-of-nobody", &How::Pause), Err(CatalogError::Value(_))));
    assert_eq!(held(), [row(1, "web", false), row(1, "db", true), row(2, "other", false)]);
    assert_eq!(catalog.freezes().unwrap()[1].was, container("db"));
    for _again in 0..2 {
        catalog.end_freeze("id-of-db").unwrap();
    }
    assert_eq!(claim(2, &["db"]), None);
    assert_eq!(held(), [row(1, "web", false), row(2, "db", false), row(2, "other", false)]);
}

#[test]
fn what_is_held_survives_a_new_start_and_an_older_catalog_has_nothing_held() {
    let place = Place::new();
    let old = Catalog::open_with(&place.path(), at(0), &MIGRATIONS[..2]).unwrap().catalog;
    drop(old);
    let catalog = place.open();
    assert_eq!(catalog.freezes().unwrap(), []);
    catalog.claim(&run_id(1), &How::Stop, &[container("db")]).unwrap();
    catalog.begin_freeze("id-of-db", &How::Stop).unwrap();
    let before = catalog.freezes().unwrap();
    drop(catalog);
    assert_eq!(place.open().freezes().unwrap(), before);
    assert_eq!((before[0].how.clone(), before[0].begun), (How::Stop, true));
}

/// What lets a container go is remembered with it, whole.
#[test]
fn each_way_to_hold_comes_back_as_it_was_noted() {
    let ways = [
        How::Pause,
        How::Stop,
        How::Hooks {
            before: vec!["app".to_owned(), "hold".to_owned()],
            after: vec!["sh".to_owned(), "-c".to_owned(), "rm '/a b'".to_owned()],
            patience_seconds: 60,
        },
        How::Hooks { before: Vec::new(), after: Vec::new(), patience_seconds: 1 },
        How::Redis { percentage: "100".to_owned() },
    ];
    let place = Place::new();
    let catalog = place.open();
    for (run, how) in (1..).zip(&ways) {
        let one = container(&format!("c{run}"));
        assert_eq!(catalog.claim(&run_id(run), how, std::slice::from_ref(&one)).unwrap(), None);
        catalog.begin_freeze(&one.id, how).unwrap();
        let all = catalog.freezes().unwrap();
        let noted = all.iter().find(|freeze| freeze.was == one).unwrap();
        assert_eq!((&noted.how, noted.begun), (how, true));
    }
    let words: Vec<_> = ways.iter().map(How::word).collect();
    assert_eq!(words, ["pause", "stop", "hooks", "hooks", "redis"]);
}
