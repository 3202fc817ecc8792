//! The verbs about policies that need neither Docker nor a store, whole outputs.

use crate::place::Place;

const GOOD: &str = "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\n";

fn place(files: &[(&str, &str)]) -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path().join("policies")).unwrap();
    for (name, text) in files {
        place.file(&format!("policies/{name}"), text);
    }
    place
}

#[test]
fn check_tells_all_that_is_wrong_at_once_and_exits_with_2() {
    let two = format!("{GOOD}keeep = 1\n[keep]\ndaily = -1\n");
    let line = GOOD.replace("0 2", "0 25");
    let place = place(&[("good.toml", GOOD), ("two.toml", &two), ("line.toml", &line)]);
    std::os::unix::fs::symlink("nowhere", place.path().join("policies/link.toml")).unwrap();
    let gave = place.run(&["policy", "check", "policies"]);
    assert_eq!((gave.code, gave.stderr.as_str()), (2, ""));
    insta::assert_snapshot!(gave.stdout, @r"
    line.toml:1:12: `schedule` must be a line of crontab(5): column 3, hour: found `25`, allowed are 0 to 23, `*`, `8-18`, `*/6`, and lists of these
    link.toml:1:1: is a link to nothing
    two.toml:3:1: unknown key `keeep`; did you mean `keep`?
    two.toml:5:9: `daily` must be between 0 and 10000: one a day, for so many days that have one
    ");
    let json = place.run(&["--json", "policy", "check", "policies"]);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, value.as_array().unwrap().len()), (2, 4));
    assert_eq!(value[0]["file"], "line.toml");
    assert!(!place.path().join("state").exists(), "nothing is made by looking");
}

#[test]
fn check_of_a_good_folder_says_so() {
    let place =
        place(&[("a.toml", GOOD), ("b.toml", "nothing = \"a cache\"\n[select]\nvolumes = [\"c\"]\n")]);
    let gave = place.run(&["policy", "check", "policies"]);
    assert_eq!((gave.code, gave.stdout.as_str()), (0, "2 policies, nothing is wrong\n"));
    let gave = place.run(&["policy", "check", "nowhere"]);
    assert_eq!(gave.code, 10);
    assert!(
        gave.stderr.starts_with("error: there is no folder of policies `nowhere`\n  hint: "),
        "{}",
        gave.stderr
    );
}

#[test]
fn check_of_a_folder_without_policies_says_so() {
    let place = place(&[]);
    std::fs::create_dir_all(place.path().join("empty")).unwrap();
    for args in [&["policy", "check", "empty"][..], &["--json", "policy", "check", "empty"]] {
        let gave = place.run(args);
        assert_eq!(gave.code, 10);
        assert!(gave.stderr.contains("there is no policy in `empty`"), "{}", gave.stderr);
    }
}

#[test]
fn the_shipped_policies_pass_their_own_check() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies");
    let gave = Place::new().run(&["policy", "check", shipped]);
    assert_eq!((gave.code, gave.stdout.as_str()), (0, "14 policies, nothing is wrong\n"), "{}", gave.stderr);
}

#[test]
fn show_lists_policies_and_all_that_one_says() {
    let night = format!("time_zone = \"Europe/Berlin\"\n{GOOD}[keep]\ndaily = 14\nwithin = \"3d\"\n");
    let place = place(&[("night.toml", &night), ("cache.toml", "nothing = \"it is a cache\"\n")]);
    let gave = place.run(&["--policies", "policies", "policy", "show"]);
    insta::assert_snapshot!(gave.stdout, @r"
    POLICY  SCHEDULE   ZONE           MODE  KEEPS
    cache   never      -              -     nothing: it is a cache
    night   0 2 * * *  Europe/Berlin  live  daily 14, within 3d
    ");
    let gave = place.run(&["--policies", "policies", "policy", "show", "night"]);
    insta::assert_snapshot!(gave.stdout, @r"
    policy       night
    schedule     0 2 * * *, Europe/Berlin
    jitter       0s
    mode         live
    max_freeze   1m
    keep         daily 14, within 3d
    full_every   30d
    concurrency  1
    nice         10
    guard        50 % of bytes, 50 % of files
    ");
    assert_eq!(place.run(&["--policies", "policies", "policy", "show", "nigth"]).code, 10);
}

#[test]
fn show_names_what_is_run_in_containers() {
    let hooks = GOOD.replace(
        "consistency.mode = \"live\"",
        "[consistency]\nmode = \"hooks\"\nbefore = [\"app\", \"hold on\"]\nafter = [\"app\", \"go\"]",
    );
    let dumps = GOOD.replace(
        "consistency.mode = \"live\"",
        "[consistency]\nmode = \"dump\"\n[[consistency.dumps]]\nfile = \"all.sql\"\n\
         run = [\"pg_dumpall\"]\nservice = \"db\"\nuser = \"postgres\"",
    );
    let place = place(&[("hooks.toml", &hooks), ("dumps.toml", &dumps)]);
    let shown = |name: &str| {
        let gave = place.run(&["--policies", "policies", "policy", "show", name]);
        assert_eq!(gave.code, 0, "{}", gave.stderr);
        gave.stdout
    };
    let text = shown("hooks");
    assert!(
        text.contains("\nbefore       [\"app\", \"hold on\"]\nafter        [\"app\", \"go\"]\n"),
        "{text}"
    );
    let text = shown("dumps");
    assert!(
        text.contains(
            "\ndump         all.sql: [\"pg_dumpall\"] in service `db`, as `postgres`\n\
             only         dumps; the source's own files are left out\n"
        ),
        "{text}"
    );
    let json = place.run(&["--json", "--policies", "policies", "policy", "show", "dumps"]).stdout;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["dumps"][0]["run"], serde_json::json!(["pg_dumpall"]), "{json}");
}

#[test]
fn schedule_gives_as_many_runs_of_each_policy_as_were_asked_for() {
    let place = place(&[("a.toml", GOOD), ("b.toml", &GOOD.replace("0 2", "0 */6"))]);
    let output = place
        .backupctl()
        .args(["--json", "schedule", "-n", "3"])
        .env("BACKUPD_POLICIES", "policies")
        .output()
        .unwrap();
    let value: serde_json::Value = serde_json::from_str(&place.gave(output).stdout).unwrap();
    let runs: Vec<_> = value.as_array().unwrap().iter().map(|run| run["policy"].as_str().unwrap()).collect();
    assert_eq!((runs.len(), runs.iter().filter(|policy| **policy == "a").count()), (6, 3));
    let ats: Vec<_> = value.as_array().unwrap().iter().map(|run| run["at"].as_str().unwrap()).collect();
    assert!(ats.is_sorted(), "{ats:?}");
}

#[test]
fn the_schema_is_json() {
    let value: serde_json::Value =
        serde_json::from_str(&Place::new().run(&["policy", "schema"]).stdout).unwrap();
    assert_eq!(value["title"], "a policy of backupd");
}
