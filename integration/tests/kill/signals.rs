//! Programs that are asked to stop: the first time they clean up, the second time they end, and who was held runs again.

use std::io::Write as _;
use std::time::{Instant, SystemTime};

use integration::noise::noise;
use integration::scripted_s3::{Action, Op};
use rustix::process::Signal;

use crate::rig::Rig;
use crate::s3::S3;
use crate::tenant::{Lease, PATIENCE};
use crate::tree::{plant, tree};

const BEATS: &[&str] = &["heartbeat"];

#[test]
fn a_backup_that_is_asked_to_stop_takes_back_what_it_began() {
    let rig = Rig::new(Some(S3::start()));
    let (volume, folder) = rig.volume("v");
    plant(&folder, 1, 20);
    rig.back_up(&volume);
    let s3 = rig.s3.as_ref().unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        s3.script(Op::Part, "", 2, Action::NoReply);
        let before = s3.count(Op::Part) + 1;
        let mut running = rig.start(&["backup", "--full", &volume]);
        s3.held_up(&mut running, Op::Part, before);
        assert_eq!(s3.open_uploads().len(), 1);
        running.signal(signal);
        let ended = running.end().expect(130);
        s3.server.forget_rules();
        // By itself: no other command has run.
        rig.assert_clean(&[&volume], &format!("{signal:?}: {ended:?}"));
        assert_eq!(rig.runs()[0]["state"], "interrupted");
        assert_eq!(rig.snapshots(&volume), ["1"]);
    }
    assert_eq!(s3.keys(".tar.zst").len(), 1, "no pack was left");
}

#[test]
fn a_restore_that_is_asked_to_stop_touches_nothing() {
    let rig = Rig::new(Some(S3::start()));
    let (volume, folder) = rig.volume("v");
    plant(&folder, 1, 6);
    rig.back_up(&volume);
    plant(&folder, 2, 1);
    let old = tree(&folder, BEATS);
    let tenant = rig.tenant("t", &folder, &Lease { volume: &volume, restart: "always", ..Lease::default() });
    let started = tenant.time("StartedAt");
    let s3 = rig.s3.as_ref().unwrap();
    let new = format!("{}-new", rig.prefix);
    for (signal, more) in [(Signal::TERM, &[][..]), (Signal::INT, &["--into", new.as_str()])] {
        s3.script(Op::Get, ".tar.zst", 1, Action::Stall(300_000));
        let before = s3.count(Op::Get);
        let mut running = rig.start(&[&["restore", &volume, "--yes"], more].concat());
        assert!(running.step("restoring"));
        s3.held_up(&mut running, Op::Get, before);
        running.signal(signal);
        let ended = running.end().expect(130);
        s3.server.forget_rules();
        assert_eq!(tree(&folder, BEATS), old, "{ended:?}");
        assert_eq!((tenant.time("StartedAt"), tenant.restart_policy()), (started, "always".to_owned()));
        rig.assert_clean(&[&volume], &format!("{signal:?}"));
    }
}

/// Cleaning up itself may hang: the second signal is a kill that needs no other terminal.
#[test]
fn a_second_signal_ends_at_once_and_the_next_command_cleans_up() {
    let rig = Rig::new(Some(S3::start()));
    let (volume, folder) = rig.volume("v");
    plant(&folder, 1, 20);
    rig.back_up(&volume);
    let s3 = rig.s3.as_ref().unwrap();
    for op in [Op::Part, Op::Abort, Op::ListUploads] {
        s3.script(op, "", 1, Action::NoReply);
    }
    let before = s3.count(Op::Part);
    let mut running = rig.start(&["backup", "--full", &volume]);
    s3.held_up(&mut running, Op::Part, before);
    running.signal(Signal::TERM);
    assert!(running.step("stopping and cleaning up"));
    running.signal(Signal::TERM);
    running.end().expect(130);
    s3.server.forget_rules();
    let next = rig.back_up(&volume);
    assert_eq!(rig.content(&volume, &next), tree(&folder, BEATS));
    rig.assert_clean(&[&volume], "ended twice");
}

/// Asked twice while somebody is held, it ends early, and lets go before it does.
#[test]
#[expect(clippy::disallowed_methods, reason = "the times of a file are the system's clock's")]
fn a_second_signal_waits_for_those_who_are_held() {
    let rig = Rig::new(None);
    let (volume, folder) = rig.volume("v");
    plant(&folder, 1, 1);
    std::fs::File::create(folder.join("noise")).unwrap().write_all(&noise(1, 128 << 20)).unwrap();
    let file = std::fs::File::options().write(true).open(folder.join("noise")).unwrap();
    for (mode, held) in [("pause", "paused"), ("stop", "exited")] {
        let lease = Lease { volume: &volume, restart: "always", ..Lease::default() };
        let tenant = rig.tenant(mode, &folder, &lease);
        let mut running = rig.start(&["backup", &volume, "--consistency", mode]);
        assert!(running.step("holding"), "{mode}");
        let began = Instant::now();
        while tenant.status() != held && began.elapsed() < PATIENCE {
            file.set_modified(SystemTime::now()).unwrap();
        }
        running.signal(Signal::TERM);
        assert!(running.step("stopping and cleaning up"), "{mode}");
        running.signal(Signal::TERM);
        let ended = running.end().expect(130);
        // By itself: no other command has run.
        assert_eq!(tenant.status(), "running", "{mode}: {ended:?}");
        assert_eq!(tenant.restart_policy(), "always", "{mode}");
        tenant.assert_beats();
        tenant.order("stop");
    }
    rig.back_up(&volume);
    rig.assert_clean(&[&volume], "asked twice");
}

/// The same for a restore, which has stopped them.
#[test]
fn a_second_signal_waits_for_those_who_are_stopped_for_a_restore() {
    let rig = Rig::new(None);
    let (volume, folder) = rig.volume("v");
    plant(&folder, 1, 6);
    rig.back_up(&volume);
    let deeds: [&[&str]; 3] = [
        &["restore", &volume, "--yes", "--keep-previous"],
        &["undo-restore", &volume, "--yes", "--discard"],
        &["restore", &volume, "--yes", "--delta"],
    ];
    let tenant = rig.tenant("t", &folder, &Lease { volume: &volume, restart: "always", ..Lease::default() });
    for deed in deeds {
        let mut running = rig.start(deed);
        let began = Instant::now();
        while tenant.status() != "exited" && began.elapsed() < PATIENCE {}
        running.signal(Signal::TERM);
        assert!(running.step("stopping and cleaning up"), "{deed:?}");
        running.signal(Signal::TERM);
        let ended = running.end();
        // By itself: no other command has run. What cannot be interrupted any more is done to its end.
        assert!(matches!(ended.code, Some(0 | 130)), "{deed:?}: {ended:?}");
        assert_eq!(tenant.status(), "running", "{deed:?}: {ended:?}");
        let runs = rig.runs();
        assert!(runs.iter().all(|run| run["ended_at"].is_string()), "{deed:?}: {runs:?}");
        assert_eq!(tenant.restart_policy(), "always", "{deed:?}");
        tenant.assert_beats();
    }
    rig.assert_clean(&[&volume], "asked twice");
}
