//! Drills with real servers: what is whole is proven by the server's own checker, what is spoilt is not; the server is
//! alone on the scratch volume; and nothing of it is left, however it ends.

use std::time::Duration;

use integration::databases::Server;
use integration::databases::container::{Container, Make};
use integration::databases::cycle::Subject;
use integration::databases::image::image;
use integration::databases::mariadb::Mariadb;
use integration::databases::place::{Place, Ran};
use integration::databases::postgres::Postgres;
use integration::databases::redis::{Files, Redis};
use integration::databases::rrd::Rrd;
use serde_json::Value;

const POSTGRES: Postgres = Postgres { scale: 1 };
const MARIADB: Mariadb = Mariadb { rows: 5_000, more: &[] };

/// Neither containers nor volumes of a drill of this installation.
#[track_caller]
fn nothing_is_left(place: &Place) {
    assert_eq!(trials(place), Vec::<Value>::new());
    let owner = std::fs::read_to_string(place.at("state/owner")).unwrap();
    let volumes = place.docker.ask("GET", "/volumes", None).unwrap();
    let ours = |volume: &&Value| volume["Labels"]["backupd.owner"] == owner.trim();
    assert_eq!(volumes["Volumes"].as_array().into_iter().flatten().find(ours), None);
}

/// All that the engine knows of the containers of drills.
fn trials(place: &Place) -> Vec<Value> {
    let owner = std::fs::read_to_string(place.at("state/owner")).unwrap();
    let listed = place.docker.ask("GET", "/containers/json?all=1", None).unwrap();
    let of_drill = |one: &&Value| {
        one["Labels"]["backupd.owner"] == owner.trim()
            && one["Names"][0].as_str().is_some_and(|name| name.starts_with("/backupd-drill-"))
    };
    let ids = listed.as_array().into_iter().flatten().filter(of_drill).filter_map(|one| one["Id"].as_str());
    // It may have ended since it was listed.
    ids.filter_map(|id| place.docker.ask("GET", &format!("/containers/{id}/json"), None).ok()).collect()
}

/// The last event, which tells the verdict.
#[track_caller]
fn verdict(ran: &Ran, code: i32, result: &str) -> Value {
    assert_eq!(ran.code, Some(code), "{ran}");
    let told = ran.events.last().cloned().unwrap_or_default();
    assert_eq!((&told["event"], &told["result"]), (&"done".into(), &result.into()), "{ran}");
    told
}

/// Backed up while it is written to.
fn backed_up<'a>(place: &'a Place, server: &'a dyn Server, mode: &str) -> Subject<'a> {
    let mut subject = Subject::new(place, server, &[]).unwrap();
    let writer = subject.write().unwrap();
    subject.back_up(&writer, &["--consistency", mode]).unwrap();
    subject.forget(writer);
    subject
}

/// A snapshot by this mode is proven, and one of the same server with a spoilt file is not.
#[track_caller]
fn judged(server: &dyn Server, mode: &str) {
    let place = Place::new().unwrap();
    let subject = backed_up(&place, server, mode);
    let good = verdict(&place.run(&["drill", &subject.volume]).unwrap(), 0, "proven");
    assert!(good["restore_seconds"].as_f64() > Some(0.0) && good["seconds"].as_f64() > Some(0.0), "{good}");
    nothing_is_left(&place);
    let last = place.run(&["drill", &subject.volume, "--last"]).unwrap();
    assert_eq!((last.code, &last.events[0]["output"]), (Some(0), &good["output"]), "{last}");

    // What its checker says of the server itself is of no interest here.
    subject.spoilt().unwrap().unwrap_err();
    subject.container().stop().unwrap();
    subject.place.run(&["backup", &subject.volume]).unwrap().done().unwrap();
    let bad = verdict(&place.run(&["drill", &subject.volume]).unwrap(), 1, "unproven");
    assert_ne!(bad["what"], "", "{bad}");
    nothing_is_left(&place);
    let listed = place.run(&["snapshots", &subject.volume]).unwrap();
    let found = |n: usize| listed.events[0][n]["drill"]["result"].clone();
    assert_eq!([found(0), found(1)].map(|it| it == "proven").iter().filter(|it| **it).count(), 1, "{listed}");
}

#[test]
fn postgres_is_judged() {
    judged(&POSTGRES, "postgres");
}

#[test]
fn mariadb_is_judged() {
    judged(&MARIADB, "mysql");
}

#[test]
fn a_log_of_redis_is_judged() {
    judged(&Redis { keys: 5_000, files: Files::Appended }, "redis");
}

#[test]
fn a_file_of_redis_is_judged() {
    judged(&Redis { keys: 5_000, files: Files::Saved }, "redis");
}

#[test]
fn rrd_files_are_judged() {
    judged(&Rrd { cached: true }, "rrd");
}

/// A server that had a binary log is not started without it: that settles what was being committed.
#[test]
fn mariadb_with_a_binary_log_is_proven() {
    let place = Place::new().unwrap();
    let server = Mariadb { more: &["--log-bin=binlog"], ..MARIADB };
    let subject = backed_up(&place, &server, "pause");
    verdict(&place.run(&["drill", &subject.volume]).unwrap(), 0, "proven");
    nothing_is_left(&place);
}

/// Where its system tablespace lies only its arguments tell, and without them a server does not start on it.
#[test]
fn a_server_that_needs_arguments_is_given_them_by_hand_or_by_its_policy() {
    const SPREAD: &str = "--innodb-data-file-path=ibdata1:12M;ibdata2:12M:autoextend";
    let place = Place::new().unwrap();
    let server = Mariadb { more: &[SPREAD], ..MARIADB };
    let subject = backed_up(&place, &server, "pause");
    let without = verdict(&place.run(&["drill", &subject.volume]).unwrap(), 1, "unproven");
    assert!(without["what"].as_str().unwrap().contains("`arguments` in `[drill]`"), "{without}");

    verdict(&place.run(&["drill", &subject.volume, "--argument", SPREAD]).unwrap(), 0, "proven");
    let policy = format!(
        "schedule = \"0 3 * * *\"\n[select]\nvolumes = [\"{}\"]\n[consistency]\nmode = \"pause\"\n[drill]\nevery = \"7d\"\narguments = [\"{SPREAD}\"]\n",
        subject.volume,
    );
    place.write("policies/shop.toml", &policy).unwrap();
    verdict(&place.run(&["drill", &subject.volume]).unwrap(), 0, "proven");
    nothing_is_left(&place);
}

/// A server of a drill is in front of us, speaks to us, and asks us for no password, whatever it is told.
#[test]
fn arguments_that_would_keep_a_drill_out_do_not_count() {
    let place = Place::new().unwrap();
    let subject = backed_up(&place, &Redis { keys: 100, files: Files::Appended }, "redis");
    let own = ["--requirepass", "x", "--daemonize", "yes", "--logfile", "/nowhere/log"];
    let mut argv = vec!["drill", subject.volume.as_str()];
    own.iter().for_each(|own| argv.extend(["--argument", own]));
    verdict(&place.run(&argv).unwrap(), 0, "proven");
    nothing_is_left(&place);
}

/// J16: what the settings in the volume would have done by the server, into the world or into its log.
const SETTINGS: &str = "archive_mode = on
archive_command = 'echo it-archives >&2; false'
restore_command = 'echo it-fetches >&2; false'
ssl = on
listen_addresses = '*'
port = 6543
unix_socket_directories = '/nowhere'
unix_socket_group = 'nobody'
logging_collector = on
external_pid_file = '/nowhere/pid'
synchronous_standby_names = '*'
default_transaction_read_only = on
";

/// The server is alone, on the one volume, without the means to be anything else; and what its settings want of the world
/// does not come about.
#[test]
fn the_server_of_a_drill_is_alone_whatever_its_settings_say() {
    let place = Place::new().unwrap();
    let subject = Subject::new(&place, &POSTGRES, &[]).unwrap();
    let role = "ALTER ROLE postgres SET default_transaction_read_only = on";
    subject.container().exec(&["psql", "-U", "postgres", "-c", role], "").unwrap().good("alter").unwrap();
    subject.container().stop().unwrap();
    let settings = place.files(&subject.volume).unwrap().join("postgresql.auto.conf");
    std::io::Write::write_all(&mut std::fs::File::create(settings).unwrap(), SETTINGS.as_bytes()).unwrap();
    place.run(&["backup", &subject.volume]).unwrap().done().unwrap();

    let mut drill = place.start(&["drill", &subject.volume]).unwrap();
    let mut seen = Vec::new();
    while drill.try_wait().unwrap().is_none() {
        seen.extend(trials(&place));
        std::thread::sleep(Duration::from_millis(20));
    }
    let proven = verdict(&Ran::of(&drill.wait_with_output().unwrap()), 0, "proven");
    for word in ["it-archives", "it-fetches"] {
        assert!(!proven["output"].as_str().unwrap().contains(word), "{proven}");
    }
    let mut mounted = 0;
    for trial in &seen {
        let (host, mounts) = (&trial["HostConfig"], trial["Mounts"].as_array().into_iter().flatten());
        // What is in memory ends with it.
        let reached: Vec<&Value> = mounts.filter(|mount| mount["Type"] != "tmpfs").collect();
        mounted += reached.len();
        assert!(reached.len() <= 1, "{reached:?}");
        let scratch =
            |mount: &&Value| mount["Name"].as_str().is_some_and(|name| name.starts_with("backupd-scratch-"));
        assert!(reached.iter().all(scratch), "{reached:?}");
        assert_eq!(host["NetworkMode"], "none");
        assert_eq!(host["ReadonlyRootfs"], true);
        assert_eq!((&host["CapDrop"], &host["CapAdd"]), (&serde_json::json!(["ALL"]), &Value::Null));
        assert_eq!((host["Memory"].as_u64(), &host["Privileged"]), (Some(1 << 30), &false.into()));
        assert!(
            trial["NetworkSettings"]["Networks"].as_object().unwrap().keys().all(|name| name == "none"),
            "{trial}"
        );
    }
    assert!(mounted > 0, "no server was seen");
    nothing_is_left(&place);
}

/// At moments of its own choice, so to speak: while it restores, while its server starts, while that is checked.
#[test]
fn a_drill_that_is_killed_is_cleared_by_the_next() {
    let place = Place::new().unwrap();
    let subject = backed_up(&place, &Redis { keys: 5_000, files: Files::Appended }, "redis");
    for moment in [Some(300), Some(1000), None] {
        let mut drill = place.start(&["drill", &subject.volume]).unwrap();
        match moment {
            Some(moment) => std::thread::sleep(Duration::from_millis(moment)),
            // As soon as it has made something.
            None => {
                while drill.try_wait().unwrap().is_none() && trials(&place).is_empty() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
        drill.kill().unwrap();
        drill.wait().unwrap();
        assert!(moment.is_some() || !trials(&place).is_empty(), "there is something to clear");
    }
    verdict(&place.run(&["drill", &subject.volume]).unwrap(), 0, "proven");
    nothing_is_left(&place);
}

/// The same image without a program.
fn image_without(place: &Place, name: &str, program: &str) -> String {
    let make = Make {
        image: image(&place.docker, name).unwrap(),
        name: place.called("without"),
        program: ["rm", program].map(str::to_owned).to_vec(),
        ..Make::default()
    };
    let container = Container::create(&place.docker, &make).unwrap();
    container.order("start").unwrap();
    container.order("wait").unwrap();
    let tag = place.called("image");
    let commit = format!("/commit?container={}&repo={tag}", make.name);
    place.docker.ask("POST", &commit, Some(&serde_json::json!({}))).unwrap();
    tag
}

/// A container's image is removed with it.
struct Image<'a>(&'a Place, String);

impl Drop for Image<'_> {
    fn drop(&mut self) {
        // What the test failed of is the news.
        drop(self.0.docker.ask("DELETE", &format!("/images/{}", self.1), None));
    }
}

#[test]
fn an_image_without_the_checker_proves_nothing_and_one_without_the_server_is_refused() {
    let place = Place::new().unwrap();
    let server = Redis { keys: 100, files: Files::Appended };
    let subject = backed_up(&place, &server, "redis");
    let without = Image(&place, image_without(&place, "redis", "/usr/bin/redis-check-aof"));
    let ran = place.run(&["drill", &subject.volume, "--image", &without.1]).unwrap();
    let told = verdict(&ran, 3, "unchecked");
    assert_eq!(told["what"], "the image has no `redis-check-aof`");
    nothing_is_left(&place);
    let other = image(&place.docker, "metrics").unwrap();
    let refused = place.run(&["drill", &subject.volume, "--image", &other]).unwrap();
    assert_eq!(refused.code, Some(10), "{refused}");
    assert!(refused.text().contains("has no server of Redis"), "{refused}");
    let nowhere = place.run(&["drill", &subject.volume, "--image", "backupd-no-such:1"]).unwrap();
    assert_eq!(nowhere.code, Some(10), "{nowhere}");
    assert!(nowhere.text().contains("nothing is ever pulled"), "{nowhere}");
    nothing_is_left(&place);
}
