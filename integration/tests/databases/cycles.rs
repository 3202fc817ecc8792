//! Five lives of each server in each way of backing it up: no complaint of a checker, no acknowledged number lost.

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

const CYCLES: u32 = 5;

/// Backs up with this mode; snapshots call themselves by this word.
#[track_caller]
pub(crate) fn five(server: &dyn Server, mode: &str, consistency: &str) {
    let place = Place::new().unwrap();
    five_at(&place, server, &[], mode, consistency);
}

/// The same, in a place that has policies, and with these labels on the volume.
#[track_caller]
pub(crate) fn five_at(
    place: &Place,
    server: &dyn Server,
    labels: &[(&str, &str)],
    mode: &str,
    consistency: &str,
) {
    let mut subject = Subject::new(place, server, labels).unwrap();
    let mut acknowledged = 0;
    for round in 1..=CYCLES {
        let cycle = subject.cycle(mode).unwrap();
        assert_eq!(cycle.verdict, Ok(()), "{server:?}, mode {mode}, cycle {round}: {cycle:?}");
        assert_eq!(cycle.consistency, consistency, "{cycle:?}");
        assert!(cycle.acknowledged > acknowledged, "{cycle:?}");
        acknowledged = cycle.acknowledged;
    }
    assert_eq!(place.helpers().unwrap(), Vec::<u32>::new());
}

#[test]
fn postgres_paused() {
    five(&Postgres { scale: 1 }, "pause", "paused");
}

#[test]
fn postgres_stopped() {
    five(&Postgres { scale: 1 }, "stop", "stopped");
}

#[test]
fn mariadb_paused() {
    five(&Mariadb { rows: 20_000, more: &[] }, "pause", "paused");
}

#[test]
fn mariadb_stopped() {
    five(&Mariadb { rows: 20_000, more: &[] }, "stop", "stopped");
}

#[test]
fn redis_paused() {
    five(&Redis { keys: 5_000, files: Files::Rewritten }, "pause", "paused");
}

#[test]
fn redis_stopped() {
    five(&Redis { keys: 5_000, files: Files::Rewritten }, "stop", "stopped");
}

#[test]
fn rrdcached_stopped() {
    five(&Rrd { cached: true }, "stop", "stopped");
}

#[test]
fn whisper_files_paused() {
    five(&Points, "pause", "paused");
}

#[test]
fn mapped_indexes_paused() {
    five(&Segments { at: "/data" }, "pause", "paused");
}

#[test]
fn zookeeper_paused() {
    five(&Zookeeper, "pause", "paused");
}

#[test]
fn influxdb_paused() {
    five(&Influxdb, "pause", "paused");
}

#[test]
fn postgres_in_its_backup_mode() {
    five(&Postgres { scale: 1 }, "postgres", "postgres");
}

#[test]
fn mariadb_locked_and_paused() {
    five(&Mariadb { rows: 20_000, more: &[] }, "mysql", "mysql");
}

#[test]
fn redis_without_rewrites() {
    five(&Redis { keys: 5_000, files: Files::Rewritten }, "redis", "redis");
}

#[test]
fn rrd_files_behind_rrdcached() {
    five(&Rrd { cached: true }, "rrd", "rrd");
}

/// Its writer is in the middle of an update for much of the time.
#[test]
fn rrd_files_that_a_program_writes_by_itself() {
    five(&Rrd { cached: false }, "rrd", "rrd");
}

/// With the hooks of a policy, as that server would have them.
#[track_caller]
fn five_by_hooks(server: &dyn Server) {
    let place = Place::new().unwrap();
    place.write("policies/hooks.toml", server.hooks().unwrap()).unwrap();
    five_at(&place, server, &[("backupd.policy", "hooks")], "hooks", "hooks");
}

#[test]
fn postgres_by_hooks() {
    five_by_hooks(&Postgres { scale: 1 });
}

#[test]
fn redis_by_hooks() {
    five_by_hooks(&Redis { keys: 5_000, files: Files::Saved });
}

#[test]
fn redis_with_one_file() {
    five(&Redis { keys: 5_000, files: Files::Saved }, "redis", "redis");
}
