//! A5: backups that SIGKILL ends between the two hooks of a policy. Whoever comes next runs the second.

use std::io::Write as _;
use std::time::Duration;

use crate::rig::Rig;
use crate::tenant::Lease;
use crate::tree::{plant, tree};

/// Kills that come between the hooks, each a little later after the first one was run; and how many it may take, the further
/// ones the sooner.
const MOMENTS: u32 = 10;
const KILLS_MAX: u32 = 40;

#[test]
fn a_backup_that_is_killed_between_its_hooks_leaves_the_second_to_the_next_start() {
    let rig = Rig::new(None);
    let (volume, folder) = rig.volume("v");
    plant(&folder, 1, 20);
    let tenant = rig.tenant("a", &folder, &Lease { volume: &volume, ..Lease::default() });
    let policies = tempfile::tempdir().unwrap();
    let policy = format!(
        "schedule = \"0 2 * * *\"\n[select]\nvolumes = [\"{volume}\"]\n[consistency]\nmode = \"hooks\"\n\
         before = [\"/tenant\", \"quiet\", \"/data/quiet\"]\nafter = [\"/tenant\", \"loud\", \"/data/quiet\"]\n"
    );
    let mut file = std::fs::File::create(policies.path().join("hooked.toml")).unwrap();
    file.write_all(policy.as_bytes()).unwrap();
    let args = ["backup", &volume, "--policies", policies.path().to_str().unwrap()];
    let is_quiet = || folder.join("quiet").exists();

    let done = rig.run(&args).expect(0);
    let done = done.event("done");
    assert_eq!(done["consistency"], "hooks");
    let seconds = done["freeze_seconds"].as_f64().unwrap();
    assert!(seconds > 0.0 && !is_quiet(), "{done}");
    let mut left = 0;
    for moment in 0..KILLS_MAX {
        let mut late = std::fs::File::create(folder.join("late")).unwrap();
        late.write_all(moment.to_string().as_bytes()).unwrap();
        let mut running = rig.start(&args);
        running.until(is_quiet);
        let share = f64::from(moment % MOMENTS) / f64::from(MOMENTS) / f64::from(1 << (moment / MOMENTS));
        std::thread::sleep(Duration::from_secs_f64(seconds * share));
        running.kill();
        let thawed = rig.run(&["thaw"]).expect(0);
        left += u32::from(!thawed.event("done")["thawed"].as_array().unwrap().is_empty());
        let what = format!("moment {moment}: {:?}", thawed.events);
        assert!(!is_quiet(), "{what}");
        tenant.assert_beats();
        let again = rig.run(&["thaw"]).expect(0);
        assert_eq!(again.event("done")["thawed"], serde_json::json!([]), "{what}");
        if left == MOMENTS {
            break;
        }
    }
    assert_eq!(left, MOMENTS, "so many of {KILLS_MAX} kills came between the hooks");
    let done = rig.run(&args).expect(0);
    let number = done.event("done")["snapshot"].as_str().unwrap().rsplit('@').next().unwrap().to_owned();
    let own = ["heartbeat", "quiet"];
    let mut content = rig.content(&volume, &number);
    content.retain(|path, _| !own.iter().any(|name| path.ends_with(name)));
    assert_eq!(content, tree(&folder, &own));
    rig.assert_clean(&[&volume], "hooks");
}
