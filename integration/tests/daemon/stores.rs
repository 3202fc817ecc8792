//! Policies with stores of their own, on a folder and a server; and servers that refuse, or never answer, at boot.

use engine::adapter::store::url::StoreUrl;
use integration::docker::Docker;
use integration::noise::noise;
use integration::scripted_s3::{Action, Rule, ScriptedS3, Setup, When};
use integration::servers::s3::S3Server;
use rustix::process::Signal;
use serde_json::Value;

use crate::rig::{Rig, put, wait};

const BUCKET: &str = "far";
const SECONDS: &str = "*/2 * * * * *";
const KEEP: &str = "last = 2";

/// A rig with a folder for the usual store, a server, and a policy whose snapshots go there: its name.
fn rig() -> (Rig, ScriptedS3, String) {
    let mut rig = Rig::new(Docker::of_environment().unwrap(), None, false);
    let server = wait(ScriptedS3::start());
    rig.know(&server);
    rig.policy(SECONDS, KEEP);
    let policy = format!("{}-far", rig.name);
    let store = StoreUrl::S3(server.bucket(BUCKET));
    let text = format!(
        "schedule = \"{SECONDS}\"\nstore = \"{store}\"\nconsistency.mode = \"live\"\n[keep]\n{KEEP}\n"
    );
    rig.write(&format!("policies/{policy}.toml"), &text);
    (rig, server, policy)
}

/// The sources whose snapshots a server has.
fn sources(server: &ScriptedS3) -> Vec<String> {
    let keys = server.objects(BUCKET).into_iter().map(|(key, _)| key);
    let mut sources: Vec<_> =
        keys.filter_map(|key| Some(key.strip_prefix("vm/")?.split_once('/')?.0.to_owned())).collect();
    sources.dedup();
    sources
}

#[test]
fn a_policy_has_a_store_of_its_own_and_one_that_hangs_is_in_nobodys_way() {
    let (rig, server, policy) = rig();
    let (near, near_place) = rig.volume("near");
    let (far, far_place) = rig.volume_under("far", &policy);
    let mut service = rig.start();
    service.until("three snapshots of each", |_| rig.newest(&near) >= 3 && rig.newest(&far) >= 3);
    assert_eq!(sources(&server), [far.as_str()]);
    let folder: Vec<_> =
        std::fs::read_dir(rig.at("store/vm")).unwrap().map(|row| row.unwrap().file_name()).collect();
    assert!(folder.contains(&near.as_str().into()) && !folder.contains(&far.as_str().into()), "{folder:?}");
    service.until("the pruning of both", |_| rig.snapshots().values().all(|numbers| numbers.len() <= 3));

    // Everybody finds each of them where it is, and says so.
    for (name, place, store) in [(&near, &near_place, "file://"), (&far, &far_place, "s3://far")] {
        let file = rig.run(&["cat", &format!("{name}@latest"), "file"]);
        assert_eq!(file.stdout, std::fs::read(place.join("file")).unwrap(), "{file:?}");
        let lines = rig.listed(&["snapshots", name]);
        assert!(lines.iter().all(|line| line["store"].as_str().unwrap().starts_with(store)), "{lines:?}");
    }
    let verified = rig.run(&["verify", "--all"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));

    // It dies while it writes there, and the server does not answer any more.
    rig.write("backupd.toml", "[effort]\nlevel = 19\nworkers = 1\n");
    put(&far_place.join("noise"), &noise(7, 24 << 20));
    service.signal(Signal::TERM);
    assert_eq!(service.end(), Some(0));
    let mut service = rig.start();
    service.until("an upload", |_| !server.uploads(BUCKET).is_empty());
    service.kill();
    server.rule(Rule::all(When::Always, Action::NoReply));
    let before = rig_newest_in_folder(&rig, &near);
    let mut service = rig.start();
    service.until("two more snapshots in the folder", |_| rig_newest_in_folder(&rig, &near) >= before + 2);
    assert_ne!(service.page("/healthz").0, 0, "it answers");
    service.signal(Signal::TERM);
    assert_eq!(service.end(), Some(0));

    server.forget_rules();
    rig.write("backupd.toml", "[effort]\nlevel = 1\n");
    let before = rig.newest(&far);
    let mut service = rig.start();
    service.until("two more snapshots there", |_| rig.newest(&far) >= before + 2);
    service.signal(Signal::TERM);
    assert_eq!(service.end(), Some(0));
    rig.assert_nothing_left();
    assert_eq!(server.uploads(BUCKET), Vec::<String>::new());
}

/// Without asking the server.
fn rig_newest_in_folder(rig: &Rig, volume: &str) -> u64 {
    let rows = std::fs::read_dir(rig.at(&format!("store/vm/{volume}"))).unwrap();
    let names = rows.map(|row| row.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".manifest")?.parse().ok()).max().unwrap_or(0)
}

#[test]
fn a_server_that_refuses_at_boot_is_used_once_it_is_there() {
    let mut rig = Rig::new(Docker::of_environment().unwrap(), None, false);
    rig.policy(SECONDS, KEEP);
    let (volume, _) = rig.volume("v");
    let server = wait(ScriptedS3::start());
    let (address, bucket) = (server.addr(), StoreUrl::S3(server.bucket(BUCKET)));
    rig.know(&server);
    rig.store_at(bucket.to_string());
    drop(server);
    let mut service = rig.start();
    service.until("a failure", |service| service.log().contains("connection refused"));
    assert_ne!(service.page("/healthz").0, 0, "it answers");
    let setup = Setup { addr: Some(address), ..Setup::default() };
    let server = wait(ScriptedS3::start_with(setup)).unwrap();
    service.until("a snapshot", |_| sources(&server) == [volume.as_str()]);
    service.signal(Signal::TERM);
    assert_eq!(service.end(), Some(0));
    assert_eq!(server.uploads(BUCKET), Vec::<String>::new());
}

/// The newest snapshot of a volume in one store.
fn newest_in(rig: &Rig, store: &str, volume: &str) -> u64 {
    let asked = rig.run(&["--json", "--store", store, "snapshots", volume]);
    let lines: Value = serde_json::from_slice(&asked.stdout).unwrap_or_default();
    let numbers = lines.as_array().into_iter().flatten().filter_map(|line| line["number"].as_u64());
    numbers.max().unwrap_or(0)
}

/// What `status` says of a volume.
fn health(rig: &Rig, volume: &str) -> Value {
    let status: Value = serde_json::from_slice(&rig.run(&["--json", "status"]).stdout).unwrap();
    let sources = status["sources"].as_array().unwrap();
    sources.iter().find(|health| health["source"] == volume).unwrap().clone()
}

#[test]
fn policies_on_two_real_servers_do_not_wait_for_each_other() {
    let rig = Rig::new(Docker::of_environment().unwrap(), None, true);
    let near_store = rig.store().to_owned();
    let mut other = wait(S3Server::rclone());
    let far_store = S3Server::folder(&wait(other.bucket("far")), "p").to_string();
    rig.policy(SECONDS, KEEP);
    let policy = format!("{}-far", rig.name);
    let text = format!(
        "schedule = \"{SECONDS}\"\nstore = \"{far_store}\"\nconsistency.mode = \"live\"\n[keep]\n{KEEP}\n"
    );
    rig.write(&format!("policies/{policy}.toml"), &text);
    let ((near, _), (far, _)) = (rig.volume("near"), rig.volume_under("far", &policy));

    // One of them is down when the service starts.
    other.stop();
    let mut service = rig.start();
    service.until("a failure there", |_| health(&rig, &far)["failures"].as_u64() >= Some(1));
    service.until("snapshots here", |_| newest_in(&rig, &near_store, &near) >= 3);
    let told = health(&rig, &far);
    assert!(told["message"].as_str().unwrap().contains("connection refused"), "{told}");
    assert_eq!((&told["last_good"], &health(&rig, &near)["failures"]), (&Value::Null, &0.into()));
    assert_eq!(rig.run(&["status"]).status.code(), Some(1));
    // Those of the one that answers are listed, and that the other does not is told.
    let listed = rig.run(&["snapshots"]);
    let (out, words) = (String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
    assert!(
        out.contains(&near) && words.contains("connection refused") && !listed.status.success(),
        "{words}"
    );

    wait(other.rclone_again());
    service.until("snapshots there", |_| newest_in(&rig, &far_store, &far) >= 3);
    service.until("all is well", |_| rig.run(&["status"]).status.success());
    for (name, store) in [(&near, &near_store), (&far, &far_store)] {
        let place = store.split('?').next().unwrap();
        let lines = rig.listed(&["snapshots", name]);
        assert!(!lines.is_empty() && lines.iter().all(|line| line["store"] == place), "{lines:?}");
        for words in [&["drill", name, "--checker", "files"][..], &["drill", name, "--last"]] {
            let drilled = rig.run(words);
            let said = String::from_utf8_lossy(&drilled.stderr);
            assert!(drilled.status.success(), "{words:?}: {said}\n{}", service.log());
        }
        let proven = |line: &Value| line["store"] == place && line["proven_at"].is_string();
        assert!(rig.listed(&["snapshots", name]).iter().any(proven), "{name}");
    }

    // And when it goes away in the middle.
    other.stop();
    let before = newest_in(&rig, &near_store, &near);
    service.until("two more here", |_| newest_in(&rig, &near_store, &near) >= before + 2);
    wait(other.rclone_again());
    let before = newest_in(&rig, &far_store, &far);
    service.until("two more there", |_| newest_in(&rig, &far_store, &far) >= before + 2);
    service.signal(Signal::TERM);
    assert_eq!(service.end(), Some(0));
    rig.assert_nothing_left();
}
