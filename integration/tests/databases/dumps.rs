//! Dumps of real servers under load: the server is destroyed, its dump restored and loaded into a fresh one, and every row
//! that was there before the dump is there again. And a dump that is killed is no snapshot, and leaves nothing behind.

use std::time::{Duration, Instant};

use integration::databases::Server;
use integration::databases::container::{Container, Make};
use integration::databases::cycle::Subject;
use integration::databases::image::image;
use integration::databases::mariadb::Mariadb;
use integration::databases::place::Place;
use integration::databases::postgres::Postgres;

/// How one server is dumped and loaded.
struct Case {
    server: &'static dyn Server,
    /// Tables of the policy, without the head.
    dumps: &'static str,
    /// A line for the shell of a fresh server that has the restored volume at `/dump`.
    load: &'static str,
    /// What is the same before and after.
    count: &'static str,
}

const POSTGRES: Case = Case {
    server: &Postgres { scale: 1 },
    dumps: r#"
        [[consistency.dumps]]
        file = "globals.sql"
        run = ["pg_dumpall", "--username=postgres", "--globals-only"]
        ends_with = "-- PostgreSQL database cluster dump complete"
        [[consistency.dumps]]
        file = "all.dump"
        run = ["pg_dump", "--username=postgres", "-Fc", "-Z0", "postgres"]
    "#,
    load: "psql -qU postgres -f /dump/.backupd-dump/globals.sql && \
           pg_restore -U postgres -d postgres --exit-on-error /dump/.backupd-dump/all.dump",
    count: "psql -U postgres -Atc 'SELECT count(*), sum(hashtext(a::text)) FROM pgbench_accounts a; \
            SELECT count(*), max(n) FROM numbers'",
};

const MARIADB: Case = Case {
    server: &Mariadb { rows: 20_000, more: &[] },
    dumps: r#"
        [[consistency.dumps]]
        file = "all.sql"
        run = ["mariadb-dump", "--user=root", "--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob", "--all-databases"]
        environment = ["MYSQL_PWD=file://{password}"]
        ends_with = "-- Dump completed"
    "#,
    load: "MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb -uroot </dump/.backupd-dump/all.sql",
    count: "MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb -uroot -NBe 'SELECT COUNT(*), SUM(CRC32(CONCAT(id, about))) FROM \
            backupd.accounts; SELECT COUNT(*), MAX(n) FROM backupd.numbers'",
};

fn put_policy(place: &Place, volume: &str, dumps: &str) {
    let password = place.at("password");
    engine::durable::replace(&password, b"test-password-7\n", 0o600).unwrap();
    let dumps = dumps.replace("{password}", &password.display().to_string());
    let head = format!(
        "schedule = \"0 2 * * *\"\n[select]\nvolumes = [\"{volume}\"]\n[consistency]\nmode = \"dump\"\n"
    );
    place.write("policies/dump.toml", &format!("{head}{dumps}\n")).unwrap();
}

fn counted(container: &Container, case: &Case) -> String {
    container.shell(case.count).unwrap().good("count").unwrap()
}

#[track_caller]
fn comes_back(case: &Case) {
    let place = Place::new().unwrap();
    let mut subject = Subject::new(&place, case.server, &[]).unwrap();
    put_policy(&place, &subject.volume, case.dumps);
    let writer = subject.write().unwrap();
    let (done, before) = subject.back_up(&writer, &[]).unwrap();
    assert_eq!((done["consistency"].as_str(), done["kind"].as_str()), (Some("dump"), Some("full")), "{done}");
    assert_eq!(done["freeze_seconds"].as_f64(), Some(0.0));
    // Whatever was acknowledged before it is in it.
    let restored = place.called("restored");
    restore(&place, &subject.volume, &restored);
    let fresh = fresh(&place, case, &restored, "loaded");
    fresh.shell(case.load).unwrap().good("load").unwrap();
    let numbers = counted(&fresh, case).lines().nth(1).unwrap().to_owned();
    let max: u64 = numbers.split(['|', '\t']).nth(1).unwrap().trim().parse().unwrap();
    assert!(max >= before.last(), "{max} of {}", before.last());
    fresh.destroy().unwrap();

    // Nobody writes any more: then all is equal, and a second dump sends next to nothing.
    subject.forget(writer);
    subject.container().stop().unwrap();
    subject.container().order("start").unwrap();
    subject.container().serves(case.server.serves()).unwrap().unwrap();
    let want = counted(subject.container(), case);
    place.run(&["backup", &subject.volume]).unwrap().done().unwrap();
    let again = place.run(&["backup", &subject.volume]).unwrap();
    let again = again.done().unwrap();
    let (sent, bytes) = (again["sent_bytes"].as_u64().unwrap(), again["bytes"].as_u64().unwrap());
    assert!(again["kind"] == "incremental" && sent < bytes / 4, "{again}");
    subject.destroy().unwrap();
    let restored = place.called("again");
    restore(&place, &subject.volume, &restored);
    let fresh = self::fresh(&place, case, &restored, "new");
    fresh.shell(case.load).unwrap().good("load").unwrap();
    assert_eq!(counted(&fresh, case), want);
    place.run(&["verify", "--all"]).unwrap().done().unwrap();
    assert_eq!(place.helpers().unwrap(), Vec::<u32>::new());
}

/// What the plan warns of, dumps that no server starts from, is meant.
#[track_caller]
fn restore(place: &Place, volume: &str, into: &str) {
    let ran = place.run(&["restore", volume, "--into", into, "--yes"]).unwrap();
    assert_eq!(ran.code, Some(0), "{ran}");
}

/// A server of the same image on an empty volume, with what was restored at `/dump`.
fn fresh(place: &Place, case: &Case, restored: &str, name: &str) -> Container {
    let volume = place.volume(&format!("{name}-data"), &[]).unwrap();
    let make = Make {
        image: image(&place.docker, case.server.image()).unwrap(),
        name: place.called(name),
        binds: vec![format!("{volume}:{}", case.server.at()), format!("{restored}:/dump")],
        arguments: case.server.arguments(),
        environment: case.server.environment(),
        ..Make::default()
    };
    let container = Container::create(&place.docker, &make).unwrap();
    container.order("start").unwrap();
    container.serves(case.server.serves()).unwrap().unwrap();
    container
}

#[test]
fn a_dump_of_postgres_comes_back() {
    comes_back(&POSTGRES);
}

#[test]
fn a_dump_of_mariadb_comes_back() {
    comes_back(&MARIADB);
}

/// All of it has come out, and then the program is killed; or we are.
#[test]
fn a_dump_that_is_killed_is_no_snapshot_and_leaves_nothing() {
    let place = Place::new().unwrap();
    let subject = Subject::new(&place, POSTGRES.server, &[]).unwrap();
    let container = subject.container();
    put_policy(
        &place,
        &subject.volume,
        "[[consistency.dumps]]\nfile = \"a.sql\"\nrun = [\"sh\", \"-c\", \"pg_dump -U postgres postgres; exec sleep 600\"]",
    );
    let sleeps = || container.shell("pgrep -x sleep").unwrap().status == 0;
    let until = |wanted: bool| {
        let began = Instant::now();
        while sleeps() != wanted {
            assert!(began.elapsed() < Duration::from_secs(60), "a program goes on, or never began");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let child = place.start(&["backup", &subject.volume]).unwrap();
    until(true);
    container.shell("pkill -KILL -x sleep").unwrap().good("kill").unwrap();
    let ran = integration::databases::place::Ran::of(&child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1), "{ran}");
    for words in ["dump `a.sql`: run `sh`", &container.name, "it ended with status 137"] {
        assert!(ran.text().contains(words), "{words}: {ran}");
    }

    let mut child = place.start(&["backup", &subject.volume]).unwrap();
    until(true);
    child.kill().unwrap();
    child.wait().unwrap();
    until(false);
    let listed = place.run(&["snapshots", &subject.volume]).unwrap();
    let snapshots = listed.events.first().and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    assert!(snapshots.is_empty(), "{listed}");
    put_policy(&place, &subject.volume, POSTGRES.dumps);
    place.run(&["backup", &subject.volume]).unwrap().done().unwrap();
    assert_eq!(place.helpers().unwrap(), Vec::<u32>::new());
    let packs = std::fs::read_dir(place.at("store/vm").join(&subject.volume)).unwrap();
    let names = packs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let packs: Vec<_> = names.filter(|name| name.ends_with(".tar.zst")).collect();
    assert_eq!(packs.len(), 2, "those of one snapshot: {packs:?}");
}
