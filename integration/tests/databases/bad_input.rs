//! What goes wrong with real servers: refused or failed with words that help, and everybody runs as before.

use std::path::Path;

use integration::databases::container::{Container, Make};
use integration::databases::image::image;
use integration::databases::place::{Place, Ran};

/// A container of the small image that runs this line, on a volume with a file.
fn stubborn(place: &Place, line: &str) -> (String, Container) {
    let volume = place.volume("v", &[]).unwrap();
    let file = place.files(&volume).unwrap().join("file");
    std::io::Write::write_all(&mut std::fs::File::create(file).unwrap(), b"content").unwrap();
    let make = Make {
        image: image(&place.docker, "metrics").unwrap(),
        name: place.called("stubborn"),
        binds: vec![format!("{volume}:/data")],
        arguments: ["bash", "-c", line].map(str::to_owned).to_vec(),
        restart: "always".to_owned(),
        ..Make::default()
    };
    let container = Container::create(&place.docker, &make).unwrap();
    container.order("start").unwrap();
    (volume, container)
}

#[track_caller]
pub(crate) fn fails(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran}");
    let text = ran.text();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {ran}");
    }
    assert!(!text.contains("test-password"), "a secret was told: {ran}");
}

/// No snapshot, no helper.
#[track_caller]
pub(crate) fn nothing_is_left(place: &Place, volume: &str) {
    let listed = place.run(&["snapshots", volume]).unwrap();
    let snapshots = listed.events.first().and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    assert!(snapshots.is_empty(), "{listed}");
    assert_eq!(place.helpers().unwrap(), Vec::<u32>::new());
    assert!(!Path::new(&place.at("store/vm").join(volume)).join("00000001.manifest").exists());
}

/// It would hold itself, and nobody would be left to let go.
#[test]
fn who_runs_in_a_container_that_writes_to_the_source_holds_nobody() {
    let place = Place::new().unwrap();
    let volume = place.volume("v", &[]).unwrap();
    let backupctl = place.program("backupctl").unwrap();
    let program = Path::new(backupctl.get_program()).to_owned();
    let (built, home) = (program.parent().unwrap().display(), place.at(""));
    let socket = place.docker.host().trim_start_matches("unix://").to_owned();
    let home = home.display().to_string();
    let make = Make {
        image: image(&place.docker, "metrics").unwrap(),
        name: place.called("inside"),
        binds: vec![
            format!("{volume}:/data"),
            format!("{built}:{built}:ro"),
            format!("{home}:{home}"),
            format!("{socket}:{socket}"),
        ],
        arguments: vec!["wait".to_owned()],
        ..Make::default()
    };
    let inside = Container::create(&place.docker, &make).unwrap();
    inside.order("start").unwrap();
    inside.shell("echo content >/data/file").unwrap().good("write a file").unwrap();
    let set = |(name, value): (&std::ffi::OsStr, Option<&std::ffi::OsStr>)| {
        format!("{}={}", name.display(), value.unwrap().display())
    };
    let environment: Vec<String> = backupctl.get_envs().map(set).collect();
    for (deed, words) in [
        (&["backup", &volume, "--consistency", "pause"][..], "mount that for reading only"),
        (&["backup", &volume, "--consistency", "stop"], "mount that for reading only"),
        (&["restore", &volume, "--yes"], "which would be stopped"),
    ] {
        if deed[0] == "restore" {
            place.run(&["backup", &volume, "--consistency", "live"]).unwrap().done().unwrap();
        }
        let environment = environment.iter().map(String::as_str);
        let argv: Vec<&str> = std::iter::once("env")
            .chain(environment)
            .chain([program.to_str().unwrap(), "--json"])
            .chain(deed.iter().copied())
            .collect();
        let said = inside.exec(&argv, "").unwrap();
        assert_eq!(said.status, 13, "{said:?}");
        assert!(said.stdout.contains(words) && said.stdout.contains(&make.name), "{said:?}");
        assert_eq!(inside.status().unwrap(), "running");
    }
}

#[test]
fn a_container_that_refuses_to_stop_is_let_go_after_the_longest_freeze() {
    let place = Place::new().unwrap();
    // A signal is heard and not obeyed.
    let line = "trap : TERM; touch /tmp/ready; while :; do sleep 0.1; done";
    let (volume, container) = stubborn(&place, line);
    container.serves("[ -e /tmp/ready ]").unwrap().unwrap();
    let args = ["backup", &volume, "--consistency", "stop", "--max-freeze", "2s"];
    let ran = place.run(&args).unwrap();
    fails(&ran, 1, &["longer than 2s", "max_freeze"]);
    let after = container.inspect().unwrap();
    assert_eq!(after["State"]["Status"], "running");
    assert_eq!(after["HostConfig"]["RestartPolicy"]["Name"], "always");
    nothing_is_left(&place, &volume);
}
