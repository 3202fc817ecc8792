//! Checkers that must find what is wrong: a few bytes of a file spoilt, and a number that nobody wrote.

use integration::databases::Server;
use integration::databases::cycle::Subject;
use integration::databases::influxdb::Influxdb;
use integration::databases::mariadb::Mariadb;
use integration::databases::place::Place;
use integration::databases::points::Points;
use integration::databases::postgres::Postgres;
use integration::databases::redis::{Files, Redis};
use integration::databases::rrd::Rrd;
use integration::databases::segments::Segments;
use integration::databases::zookeeper::Zookeeper;

#[track_caller]
fn found(server: &dyn Server) {
    let place = Place::new().unwrap();
    let mut subject = Subject::new(&place, server, &[]).unwrap();
    let writer = subject.write().unwrap();
    let before = writer.ledger();
    subject.end(writer, before);
    // Clients inside end with it.
    subject.container().stop().unwrap();
    subject.container().order("start").unwrap();
    assert_eq!(subject.check().unwrap(), Ok(()), "{server:?} as it is");
    let mut more = subject.ledger().clone();
    more.add(more.last() + 1_000_000);
    let missing = subject.check_for(&more).unwrap();
    assert!(missing.is_err(), "{server:?}: a number is missing");
    let verdict = subject.spoilt().unwrap();
    assert!(verdict.is_err(), "{server:?}: nothing is found wrong in a spoilt file");
}

#[test]
fn postgres() {
    found(&Postgres { scale: 1 });
}

#[test]
fn mariadb() {
    found(&Mariadb { rows: 5_000, more: &[] });
}

#[test]
fn redis() {
    found(&Redis { keys: 5_000, files: Files::Rewritten });
}

#[test]
fn rrd() {
    found(&Rrd { cached: false });
}

#[test]
fn points() {
    found(&Points);
}

#[test]
fn segments() {
    found(&Segments { at: "/data" });
}

#[test]
fn zookeeper() {
    found(&Zookeeper);
}

#[test]
fn influxdb() {
    found(&Influxdb);
}
