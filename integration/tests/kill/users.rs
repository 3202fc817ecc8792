//! I1, I2, I9, B16: a restore in place beneath containers that use the volume.

use std::path::PathBuf;

use integration::scripted_s3::{Action, Op};
use serde_json::json;

use crate::rig::Rig;
use crate::s3::S3;
use crate::tenant::{Lease, Tenant};
use crate::tree::{Tree, plant, tree};

const BEATS: &[&str] = &["heartbeat", "web", "db"];

/// A volume with a snapshot of other content than what is in it now.
struct Scene {
    rig: Rig,
    volume: String,
    folder: PathBuf,
    new: Tree,
    old: Tree,
}

impl Scene {
    fn new(s3: Option<S3>) -> Self {
        let rig = Rig::new(s3);
        let (volume, folder) = rig.volume("v");
        plant(&folder, 1, 2);
        let new = tree(&folder, BEATS);
        rig.back_up(&volume);
        plant(&folder, 2, 2);
        let old = tree(&folder, BEATS);
        Self { rig, volume, folder, new, old }
    }

    fn tenant(&self, name: &str, lease: &Lease<'_>) -> Tenant {
        self.rig.tenant(name, &self.folder, &Lease { volume: &self.volume, ..lease.clone() })
    }

    fn restore(&self, more: &[&str]) -> crate::program::Ended {
        self.rig.run(&[&["restore", &self.volume], more].concat())
    }

    fn now(&self) -> Tree {
        tree(&self.folder, BEATS)
    }

    #[track_caller]
    fn assert_untouched(&self, tenant: &Tenant, started: jiff::Timestamp, status: &str) {
        assert_eq!(self.now(), self.old);
        assert_eq!((tenant.time("StartedAt"), tenant.status()), (started, status.to_owned()));
        assert_eq!(self.rig.helpers(), Vec::<String>::new());
    }
}

#[test]
fn a_running_service_gets_its_volume_back_and_goes_on() {
    let scene = Scene::new(None);
    let tenant = scene.tenant("t", &Lease { restart: "always", ..Lease::default() });
    let started = tenant.time("StartedAt");

    // The plan tells it; neither the plan nor a missing consent changes anything.
    let dry = scene.restore(&["--dry-run"]).expect(0);
    let plan = dry.event("plan");
    assert_eq!(plan["stops"][0]["container"], tenant.name.as_str());
    assert_eq!((&plan["stops"][0]["running"], &plan["in_place"]), (&json!(true), &json!(true)));
    scene.assert_untouched(&tenant, started, "running");
    let unasked = scene.restore(&[]).expect(13);
    assert!(unasked.text().contains("--yes"), "{unasked:?}");
    scene.assert_untouched(&tenant, started, "running");

    let done = scene.restore(&["--yes"]).expect(0);
    assert_eq!(done.event("done")["started"], json!([tenant.name]));
    assert_eq!(scene.now(), scene.new);
    assert!(tenant.time("StartedAt") > started);
    assert_eq!((tenant.status(), tenant.restart_policy()), ("running".to_owned(), "always".to_owned()));
    assert_eq!(tenant.inspect()["RestartCount"], 0);
    tenant.assert_beats();
    scene.rig.assert_clean(&[&scene.volume], "restored");
}

#[test]
fn who_has_the_folder_of_a_volume_mounted_uses_the_volume() {
    let scene = Scene::new(None);
    let folder = scene.folder.to_str().unwrap();
    let tenant = scene.rig.tenant("t", &scene.folder, &Lease { volume: folder, ..Lease::default() });
    let (started, done) = (tenant.time("StartedAt"), scene.restore(&["--yes"]).expect(0));
    assert_eq!(done.event("done")["started"], json!([tenant.name]));
    assert_eq!(scene.now(), scene.new);
    assert!(tenant.time("StartedAt") > started);
    let backup = ["backup", &scene.volume, "--consistency", "pause"];
    let done = scene.rig.run(&backup).expect(0);
    assert_eq!(done.event("done")["consistency"], "paused");
    assert_eq!(tenant.status(), "running");
    tenant.assert_beats();
    scene.rig.assert_clean(&[&scene.volume], "restored and backed up");
}

#[test]
fn who_was_down_stays_down() {
    let scene = Scene::new(None);
    let tenant = scene.tenant("t", &Lease { restart: "always", ..Lease::default() });
    tenant.order("stop");
    let created = scene.rig.created("u", &scene.folder, &Lease { volume: &scene.volume, ..Lease::default() });
    assert_eq!(tenant.inspect()["State"]["ExitCode"], 0);
    let done = scene.restore(&["--yes"]).expect(0);
    assert_eq!(done.event("done")["started"], json!([]));
    assert_eq!(scene.now(), scene.new);
    assert_eq!((tenant.status(), created.status()), ("exited".to_owned(), "created".to_owned()));
    assert_eq!(tenant.restart_policy(), "always");
}

#[test]
fn what_a_stop_would_spoil_is_refused_before_anything_is_touched() {
    let scene = Scene::new(None);
    let tenant = scene.tenant("t", &Lease::default());
    let started = tenant.time("StartedAt");
    tenant.order("pause");
    let refused = scene.restore(&["--yes"]).expect(13);
    assert!(refused.text().contains("is paused") && refused.text().contains(&tenant.name), "{refused:?}");
    scene.assert_untouched(&tenant, started, "paused");
    tenant.order("unpause");
    tenant.order("stop");

    let once = scene.tenant("once", &Lease { auto_remove: true, ..Lease::default() });
    let started = once.time("StartedAt");
    let refused = scene.restore(&["--yes"]).expect(13);
    assert!(refused.text().contains("--rm") && refused.text().contains(&once.name), "{refused:?}");
    scene.assert_untouched(&once, started, "running");
    // Neither is in the way of a restore beside it.
    assert_eq!(scene.rig.content(&scene.volume, "1"), scene.new);
    assert_eq!(once.time("StartedAt"), started);
}

#[test]
fn services_stop_and_start_in_the_order_of_their_project() {
    let scene = Scene::new(None);
    let lease = |file, service, warm_up| Lease { file, service: Some(service), warm_up, ..Lease::default() };
    // Health needs longer than the start of the other one.
    let db = scene.tenant("a", &lease("db", ("db", ""), Some(1500)));
    let web = scene.tenant("b", &lease("web", ("web", "db:service_healthy:true"), None));
    let done = scene.restore(&["--yes"]).expect(0);
    assert_eq!(done.event("done")["started"], json!([db.name, web.name]));
    assert_eq!(scene.now(), scene.new);
    assert!(web.time("FinishedAt") < db.time("FinishedAt"), "the one that needs the other stops first");
    let waited = web.time("StartedAt").duration_since(db.time("StartedAt")).as_millis();
    assert!(waited >= 1500, "the other one was healthy before: {waited} ms");
    assert_eq!(db.inspect()["State"]["Health"]["Status"], "healthy");
    for tenant in [&db, &web] {
        assert_eq!(tenant.inspect()["State"]["ExitCode"], 0);
        tenant.assert_beats();
    }
}

/// All of a project, as one deed: everybody stops once, whoever needs another first, and starts when all is in place.
#[test]
fn a_project_comes_back_as_a_whole() {
    let rig = Rig::new(None);
    // By their names, what the one that is needed lives on comes first.
    let volumes = [rig.volume("a"), rig.volume("b")];
    let contents = [1, 2].map(|seed| {
        let (volume, folder) = &volumes[usize::try_from(seed - 1).unwrap()];
        plant(folder, seed, 1);
        rig.back_up(volume);
        let content = tree(folder, BEATS);
        plant(folder, seed + 2, 1);
        content
    });
    let [(a, at_a), (b, at_b)] = &volumes;
    let lease = |volume, file, service| Lease { volume, file, service: Some(service), ..Lease::default() };
    let db = rig.tenant("a", at_a, &Lease { warm_up: Some(500), ..lease(a, "db", ("db", "")) });
    let web = rig.tenant("b", at_b, &lease(b, "web", ("web", "db:service_healthy:true")));

    let project = rig.prefix.clone();
    let plan = rig.run(&["restore", "--project", &project, "--dry-run"]).expect(0);
    let plan = plan.event("plan");
    assert_eq!(plan["members"].as_array().map(Vec::len), Some(2), "{plan}");
    assert!(plan["set"].is_null() && plan["span_seconds"].is_number(), "{plan}");
    let done = rig.run(&["restore", "--project", &project, "--yes"]).expect(0);
    for ((_, folder), content) in volumes.iter().zip(&contents) {
        assert_eq!(tree(folder, BEATS), *content);
    }
    assert!(web.time("FinishedAt") < db.time("FinishedAt"), "the one that needs the other stops first");
    assert!(db.time("StartedAt") < web.time("StartedAt"), "and starts last");
    let said = done.text();
    assert!(said.contains("\"healthy\"") && said.contains("\"unchecked\""), "{said}");
    db.assert_beats();
    web.assert_beats();
    rig.assert_clean(&[a, b], "a project");
}

#[test]
fn what_was_there_before_is_kept_if_wanted_and_never_backed_up() {
    let scene = Scene::new(None);
    let tenant = scene.tenant("t", &Lease::default());
    let done = scene.restore(&["--yes", "--keep-previous"]).expect(0);
    let done = done.event("done");
    let previous = done["previous"].as_str().unwrap().to_owned();
    assert_eq!(previous, format!(".backupd-previous-{}", done["run"].as_str().unwrap()));
    assert_eq!(tree(&scene.folder.join(&previous).join("old"), BEATS), scene.old);
    let beats = std::fs::read_to_string(scene.folder.join(&previous).join("old/heartbeat")).unwrap();
    assert!(beats.ends_with("end\n"), "it was told to end before its content was taken away");
    assert_eq!(tree(&scene.folder, &[BEATS, &[previous.as_str()]].concat()), scene.new);
    tenant.order("stop");

    let next = scene.rig.back_up(&scene.volume);
    assert_eq!(scene.rig.content(&scene.volume, &next), scene.new);
    // A second restore leaves the first one's alone.
    scene.restore(&["--yes", "--snapshot", "1"]).expect(0);
    assert_eq!(tree(&scene.folder.join(&previous).join("old"), BEATS), scene.old);
}

#[test]
fn a_service_that_comes_up_meanwhile_keeps_its_content() {
    let scene = Scene::new(Some(S3::start()));
    let up = scene.tenant("up", &Lease { restart: "always", ..Lease::default() });
    let down = scene.tenant("down", &Lease { file: "web", ..Lease::default() });
    down.order("stop");
    // The content comes so slowly that a person has the time to start something.
    scene.rig.s3.as_ref().unwrap().script(Op::Get, ".tar.zst", 1, Action::Slow(256 << 10));
    let mut running = scene.rig.start(&["restore", &scene.volume, "--yes"]);
    assert!(running.step("restoring"));
    down.order("start");
    let refused = running.end().expect(11);
    assert!(refused.text().contains(&down.name) && refused.text().contains("was started"), "{refused:?}");
    assert_eq!(scene.now(), scene.old);
    for tenant in [&up, &down] {
        tenant.assert_beats();
    }
    assert_eq!(up.restart_policy(), "always");
    scene.rig.assert_clean(&[&scene.volume], "refused");
}

/// Somebody starts what we have stopped, about when the contents change places: whoever was faster, the service
/// runs on one of the two, and what was told is true.
#[test]
fn a_service_that_is_started_by_hand_just_then_runs_on_one_content() {
    let scene = Scene::new(None);
    let tenant = scene.tenant("t", &Lease { restart: "always", ..Lease::default() });
    // What also has to stop takes its time, so that there is some before the swap.
    let slow = scene.tenant("z", &Lease { file: "web", linger: 800, ..Lease::default() });
    let started = tenant.time("StartedAt");
    let mut running = scene.rig.start(&["restore", &scene.volume, "--yes"]);
    assert!(running.step("putting the restored content"));
    assert!(running.until(|| tenant.status() == "exited"));
    tenant.order("start");
    let ended = running.end();
    // By hand or by the restore: it runs, and what it sees is one of the two.
    tenant.assert_beats();
    slow.assert_beats();
    assert!(tenant.time("StartedAt") > started);
    assert_eq!(tenant.restart_policy(), "always");
    match ended.code {
        Some(0) => assert_eq!(scene.now(), scene.new),
        Some(11) => assert_eq!(scene.now(), scene.old),
        _ => panic!("{ended:?}"),
    }
}
