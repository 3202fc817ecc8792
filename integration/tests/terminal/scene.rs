//! A small host to look at: two volumes under a policy, one with three snapshots, and one that nobody looks after.

use serde_json::json;

use crate::world::{World, put};

/// See the module.
pub(crate) struct Scene {
    pub(crate) world: World,
    /// With snapshots.
    pub(crate) db: String,
    /// Under the policy, and without any.
    pub(crate) new: String,
    /// Under none.
    pub(crate) cache: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let mut world = World::new();
        // As long as people's names are, and not as long as other tests' names.
        world.name = format!("bt{}", &engine::words::RunId::random().unwrap().to_string()[..6]);
        world.set("BACKUPD_VERBOSE", "0");
        let policies = world.at("policies");
        std::fs::create_dir(&policies).unwrap();
        world.set("BACKUPD_POLICIES", policies.to_str().unwrap());
        let policy = "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\n[keep]\ndaily = 7\nweekly = 4\n";
        put(&world.at(&format!("policies/{}.toml", world.name)), policy.as_bytes());
        let labels = json!({ "Labels": { "backupd.policy": world.name } });
        let (db, place) = world.volume_as("db-data", labels.clone());
        put(&place.join("file"), b"one");
        put(&place.join("na\u{ef}ve"), b"two");
        let (new, place) = world.volume_as("new", labels);
        put(&place.join("file"), b"three");
        let (cache, _) = world.small_volume("cache");
        for text in [&b"first"[..], b"second", b"third"] {
            put(&world.docker.volume(&db).unwrap().unwrap().join("file"), text);
            world.back_up(&db);
        }
        Self { world, db, new, cache }
    }

    /// Nothing of any run is left, and no other volume is there.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        self.world.assert_only(&[&self.db, &self.new, &self.cache]);
        let runs = self.world.run(&["--json", "runs"]).ok();
        let runs: serde_json::Value = serde_json::from_slice(&runs.stdout).unwrap();
        for run in runs.as_array().unwrap() {
            assert!(run["ended_at"].is_string() && run["live"] == false, "{run}");
        }
    }
}
