//! A run while it runs: others see it, wait their turn, and can end it; and it takes everything back.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use integration::scripted_s3::{Action, Op, Rule, ScriptedS3, When};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::ran::{Ran, has_fields};
use crate::stores::{BUCKET, scripted};
use crate::world::{World, gave, put};
use integration::noise::noise;

/// So long anything may take that should be at once; only a broken program needs it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks again and again until there is something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A backup that stands still in the middle of its upload.
pub(crate) struct Hanging {
    child: Option<Child>,
    pub(crate) run: String,
}

impl Hanging {
    /// Of a volume that needs several parts. The server takes the requests and never answers.
    pub(crate) fn begin(server: &ScriptedS3, world: &World, volume: &str) -> Self {
        server.rule(Rule::new(Op::Part, When::Always, Action::NoReply));
        let mut command: Command = world.program("backupctl");
        let child = command.args(["--json", "backup", volume]).spawn().unwrap();
        let mut hanging = Self { child: Some(child), run: String::new() };
        until("the upload", || {
            (!server.uploads(BUCKET).is_empty() && !world.helpers().is_empty()).then_some(())
        });
        let rows = world.run(&["--json", "runs"]).ok().rows();
        hanging.run = rows[0]["run"].as_str().unwrap().to_owned();
        hanging
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    /// Kills it, and nothing of it has a chance to clean up.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What it gave when it ended by itself.
    pub(crate) fn end(mut self) -> Ran {
        let mut child = self.child.take().unwrap();
        until("its end", || child.try_wait().unwrap());
        gave("the backup that hung".to_owned(), &child.wait_with_output().unwrap())
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A test that failed; it may have ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A scripted server, and a volume of more parts than are under way at once: its helper waits for them.
pub(crate) fn large() -> (ScriptedS3, World, String) {
    let (server, world) = scripted();
    let (volume, place) = world.volume("v");
    put(&place.join("noise"), &noise(9, 96 << 20));
    (server, world, volume)
}

fn state(world: &World, run: &str) -> Value {
    let mut rows = world.run(&["--json", "runs", run]).ok().rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

#[test]
fn a_run_keeps_others_away_and_ends_when_asked() {
    let (server, world, volume) = large();
    type Way = fn(&World, &Hanging);
    let cancel: Way = |world, hanging| {
        let told = world.run(&["--json", "cancel", &hanging.run]).ok().last_event("done", "run");
        assert_eq!(told["run"], hanging.run);
    };
    let signal: Way = |_world, hanging| kill_process(hanging.pid(), Signal::INT).unwrap();
    for way in [cancel, signal] {
        let hanging = Hanging::begin(&server, &world, &volume);
        let live = state(&world, &hanging.run);
        has_fields(&live, "run verb source state began_at ended_at snapshot entries bytes message live");
        assert_eq!(
            (&live["verb"], &live["live"], &live["ended_at"]),
            (&json!("backup"), &json!(true), &Value::Null)
        );
        let busy = world.run(&["backup", &volume]).fails(11, &["locked", &hanging.run]);
        assert!(busy.stderr.contains("backupctl"), "{busy}");
        way(&world, &hanging);
        let run = hanging.run.clone();
        let told = hanging.end().fails(130, &["interrupted"]);
        told.last_event("error", "class message hint source");
        let ended = state(&world, &run);
        assert_eq!((&ended["state"], &ended["live"]), (&json!("interrupted"), &json!(false)));
        assert_eq!(server.uploads(BUCKET), Vec::<String>::new(), "the open upload is given up");
        let objects: Vec<_> = server.objects(BUCKET).into_iter().map(|(key, _)| key).collect();
        assert_eq!(objects, [format!("{}/owner.json", crate::world::HOST)]);
        world.assert_only(&[&volume]);
        world.run(&["cancel", &run]).fails(10, &[&run]);
        server.forget_rules();
    }
    assert!(world.run(&["runs"]).ok().text().contains("interrupted"));
    assert_eq!(world.back_up(&volume)["snapshot"], format!("{volume}@1"));
}
