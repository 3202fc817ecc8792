//! Servers that do not let us in, are in the wrong state, or take something away in the middle: words that help, and
//! nothing of a backup is left in them.

use std::time::{Duration, Instant};

use integration::databases::Server;
use integration::databases::cycle::Subject;
use integration::databases::mariadb::Mariadb;
use integration::databases::place::{Place, Ran};
use integration::databases::postgres::Postgres;
use integration::databases::redis::{Files, Redis};

use super::bad_input::{fails, nothing_is_left};

const POSTGRES: Postgres = Postgres { scale: 1 };
const MARIADB: Mariadb = Mariadb { rows: 1_000, more: &[] };

#[track_caller]
fn does(subject: &Subject<'_>, argv: &[&str], input: &str) {
    subject.container().exec(argv, input).unwrap().good("prepare").unwrap();
}

#[track_caller]
fn psql(subject: &Subject<'_>, statement: &str) {
    does(subject, &["psql", "-U", "postgres", "-qAtX", "-c", statement], "");
}

#[track_caller]
fn mariadb(subject: &Subject<'_>, statements: &str) {
    let client = "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -uroot";
    does(subject, &["bash", "-c", client], statements);
}

/// Refused or failed, with these words; and the server is as it was before.
#[track_caller]
fn comes_to_nothing(subject: &Subject<'_>, mode: &str, code: i32, words: &[&str]) {
    let ran = subject.place.run(&["backup", &subject.volume, "--consistency", mode]).unwrap();
    fails(&ran, code, words);
    assert_eq!(subject.container().status().unwrap(), "running");
    nothing_is_left(subject.place, &subject.volume);
}

#[test]
fn a_password_that_was_changed_in_postgres_is_said() {
    let place = Place::new().unwrap();
    let subject = Subject::new(&place, &POSTGRES, &[]).unwrap();
    psql(&subject, "ALTER USER postgres PASSWORD 'other-secret-8'");
    let hba = "echo 'local all all scram-sha-256' >/var/lib/postgresql/data/pg_hba.conf";
    does(&subject, &["bash", "-c", hba], "");
    let reload = "kill -HUP 1; until ! psql -wU postgres -c 'SELECT 1' 2>/dev/null; do sleep 0.1; done";
    does(&subject, &["timeout", "20", "bash", "-c", reload], "");
    comes_to_nothing(&subject, "postgres", 12, &["password authentication failed", "POSTGRES_PASSWORD"]);
}

#[test]
fn a_password_that_was_changed_in_mariadb_is_said() {
    let place = Place::new().unwrap();
    let subject = Subject::new(&place, &MARIADB, &[]).unwrap();
    mariadb(&subject, "ALTER USER root@localhost IDENTIFIED BY 'other-secret-8'");
    comes_to_nothing(&subject, "mysql", 12, &["does not let us in", "make the container again"]);
}

#[test]
fn a_password_that_was_set_in_redis_is_said() {
    let place = Place::new().unwrap();
    let subject = Subject::new(&place, &Redis { keys: 100, files: Files::Rewritten }, &[]).unwrap();
    does(&subject, &["redis-cli", "CONFIG", "SET", "requirepass", "other-secret-8"], "");
    comes_to_nothing(&subject, "redis", 12, &["does not let us in", "NOAUTH"]);
    let setting = "redis-cli -a other-secret-8 CONFIG GET auto-aof-rewrite-percentage | grep -qx 100";
    does(&subject, &["bash", "-c", setting], "");
}

#[test]
fn a_standby_of_postgres_is_refused_and_can_be_paused() {
    let place = Place::new().unwrap();
    let subject = Subject::new(&place, &POSTGRES, &[]).unwrap();
    subject.container().stop().unwrap();
    let signal = place.files(&subject.volume).unwrap().join("standby.signal");
    drop(std::fs::File::create(signal).unwrap());
    subject.container().order("start").unwrap();
    let up = "[ \"$(psql -U postgres -Atc 'SELECT pg_is_in_recovery()')\" = t ]";
    subject.container().serves(up).unwrap().unwrap();
    comes_to_nothing(&subject, "postgres", 13, &["is a standby, or recovers", "`pause`"]);
    place.run(&["backup", &subject.volume, "--consistency", "pause"]).unwrap().done().unwrap();
}

/// One that lets nobody write can be copied all the same.
#[test]
fn servers_that_are_read_only_are_backed_up() {
    let place = Place::new().unwrap();
    let subject = Subject::new(&place, &POSTGRES, &[]).unwrap();
    psql(&subject, "ALTER SYSTEM SET default_transaction_read_only = on");
    psql(&subject, "SELECT pg_reload_conf()");
    let ran = place.run(&["backup", &subject.volume, "--consistency", "postgres"]).unwrap();
    assert_eq!(ran.done().unwrap()["consistency"], "postgres");
    assert_eq!(subject.untouched().unwrap(), Ok(()));

    let place = Place::new().unwrap();
    let subject = Subject::new(&place, &MARIADB, &[]).unwrap();
    mariadb(&subject, "SET GLOBAL read_only = 1");
    let ran = place.run(&["backup", &subject.volume, "--consistency", "mysql"]).unwrap();
    assert_eq!(ran.done().unwrap()["consistency"], "mysql");
}

/// Does something to the server as soon as backup mode is on, and again and again until the backup is over.
fn meanwhile(subject: &Subject<'_>, line: &str) -> Ran {
    // Long enough for all of it.
    subject.place.write("backupd.toml", "[effort]\nlevel = 19\nworkers = 1\n").unwrap();
    let args = ["backup", &subject.volume, "--consistency", "postgres"];
    let mut backup = subject.place.start(&args).unwrap();
    let began = Instant::now();
    while backup.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(180), "the backup does not end");
        subject.container().shell(line).unwrap();
    }
    Ran::of(&backup.wait_with_output().unwrap())
}

/// The server keeps no more of its log than it was told to, whoever needs it.
#[test]
fn a_log_that_is_recycled_in_the_middle_voids_the_copy() {
    let place = Place::new().unwrap();
    let subject = Subject::new(&place, &POSTGRES, &[]).unwrap();
    psql(&subject, "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    psql(&subject, "ALTER SYSTEM SET max_wal_size = '32MB'");
    psql(&subject, "SELECT pg_reload_conf()");
    let line = "psql -U postgres -Atc 'SELECT 1 FROM pg_replication_slots' | grep -q 1 || exit 0
        for i in 1 2 3; do psql -qU postgres -c 'CREATE TABLE t (); DROP TABLE t' -c 'SELECT pg_switch_wal()'; done
        psql -U postgres -c CHECKPOINT";
    let ran = meanwhile(&subject, line);
    fails(&ran, 1, &["terminating connection", "max_slot_wal_keep_size"]);
    assert_eq!(subject.untouched().unwrap(), Ok(()));
    nothing_is_left(&place, &subject.volume);
}

#[test]
fn a_session_that_somebody_ends_voids_the_copy() {
    let place = Place::new().unwrap();
    let subject = Subject::new(&place, &POSTGRES, &[]).unwrap();
    let end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots";
    let ran = meanwhile(&subject, &format!("psql -U postgres -Atc '{end}'"));
    fails(&ran, 1, &["terminating connection", "nothing was committed"]);
    assert_eq!(subject.untouched().unwrap(), Ok(()));
    nothing_is_left(&place, &subject.volume);
}

#[test]
fn a_hook_that_hangs_is_given_up_and_undone() {
    let place = Place::new().unwrap();
    let hooks = "schedule = \"0 2 * * *\"\n[consistency]\nmode = \"hooks\"\nmax_freeze = \"2s\"\n\
                 before = [\"sh\", \"-c\", \"touch /tmp/before; exec sleep 600\"]\n\
                 after = [\"touch\", \"/tmp/after\"]\n";
    place.write("policies/hooks.toml", hooks).unwrap();
    let server = Redis { keys: 100, files: Files::Saved };
    let subject = Subject::new(&place, &server, &[("backupd.policy", "hooks")]).unwrap();
    does(&subject, &["redis-cli", "SAVE"], "");
    let ran = place.run(&["backup", &subject.volume]).unwrap();
    fails(&ran, 1, &["longer than 2s", "`after` was run", "max_freeze"]);
    does(&subject, &["ls", "/tmp/before", "/tmp/after"], "");
    assert_eq!(subject.container().shell(server.serves()).unwrap().status, 0);
    nothing_is_left(&place, &subject.volume);
}
