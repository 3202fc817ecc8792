//! What good files become.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::{LEAST, policy};
use crate::level::Level;
use crate::policy::{
    Consistency, Drill, Event, Guard, Keep, Limits, Mode, Notify, OnUnfreezable, Pack, Reread, Rule, Terms,
};
use crate::retention;
use crate::schedule::Schedule;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn every_key_is_read() {
    let text = r#"
        schedule = " 0 2 * * MON-FRI "
        time_zone = "Europe/Berlin"
        jitter = "15m"
        store = "s3://bucket/prefix?region=eu-1"
        [select]
        volumes = ["*-data", "!cache-data"]
        mounts = ["web:/srv/app"]
        paths = ["/srv/app/*"]
        labels = ["tier=db", "keep"]
        container_labels = ["role"]
        project = "shop"
        rest = false
        [consistency]
        mode = "hooks"
        set = true
        max_freeze = "1h"
        on_unfreezable = "live"
        before = ["sync", "--all"]
        after = ["resume"]
        reread = "always"
        [keep]
        last = 1
        hourly = 2
        daily = 3
        weekly = 4
        monthly = 5
        yearly = 6
        within = "30d"
        by_hand = "60d"
        grace = "2d"
        [guard]
        shrink_percent = 10
        file_loss_percent = 20
        identity = false
        [drill]
        every = "2w"
        image = "postgres:17"
        arguments = ["-c", "shared_preload_libraries=pg_cron"]
        memory = "2GiB"
        timeout = "1h"
        [limits]
        concurrency = 3
        bandwidth = "20MiB/s"
        nice = 19
        [notify]
        webhook = "https://hooks.example.org/x"
        command = ["/usr/local/bin/tell", "ops"]
        heartbeat = "file:///etc/backupd/heartbeat"
        on = ["failure", "guard"]
        [pack]
        level = 9
        full_every = "60d"
        max_packs = 50
    "#;
    let policy = policy(text);
    let select = &policy.select;
    assert!(select.volumes.find("db-data").is_some() && select.volumes.find("cache-data").is_none());
    assert!(select.mounts.find("web:/srv/app").is_some() && select.paths.find("/srv/app/x").is_some());
    let tests = |labels: &std::collections::BTreeSet<crate::select::LabelTest>| {
        labels.iter().map(|test| (test.key.clone(), test.value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(tests(&select.labels), [("keep".into(), None), ("tier".into(), Some("db".into()))]);
    assert_eq!(tests(&select.container_labels), [("role".into(), None)]);
    assert_eq!(select.project.as_ref().map(|project| project.as_str()), Some("shop"));
    let want = Terms {
        schedule: Schedule::parse("0 2 * * MON-FRI").unwrap(),
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
        time_zone_named: true,
        jitter: Duration::from_secs(900),
        store: Some("s3://bucket/prefix?region=eu-1".into()),
        consistency: Consistency {
            mode: Mode::Hooks,
            set: true,
            max_freeze: Duration::from_secs(3_600),
            on_unfreezable: OnUnfreezable::Live,
            before: vec!["sync".into(), "--all".into()],
            after: vec!["resume".into()],
            reread: Reread::Always,
            only: true,
            dumps: vec![],
        },
        keep: Some(Keep {
            last: 1,
            hourly: 2,
            daily: 3,
            weekly: 4,
            monthly: 5,
            yearly: 6,
            within: Some(DAY * 30),
            by_hand: DAY * 60,
            grace: DAY * 2,
        }),
        guard: Guard { shrink_percent: 10, file_loss_percent: 20, identity: false },
        drill: Some(Drill {
            every: DAY * 14,
            image: Some("postgres:17".into()),
            arguments: vec!["-c".into(), "shared_preload_libraries=pg_cron".into()],
            memory_bytes: 2 << 30,
            timeout: Duration::from_secs(3_600),
        }),
        limits: Limits { concurrency: 3, bandwidth: Some(20 << 20), nice: 19 },
        notify: Notify {
            webhook: Some("https://hooks.example.org/x".into()),
            command: vec!["/usr/local/bin/tell".into(), "ops".into()],
            heartbeat: Some("file:///etc/backupd/heartbeat".into()),
            on: vec![Event::Failure, Event::Guard],
        },
        pack: Pack { level: Some(Level::Fixed(9)), full_every: DAY * 60, max_packs: Some(50) },
    };
    assert_eq!(policy.terms(), Some(&want));
}

#[test]
fn every_key_of_the_table_is_in_the_test_above() {
    let read = concat!(include_str!("values.rs"), include_str!("dumps.rs"));
    for key in crate::policy::POLICY {
        for key in key.kind.table().unwrap_or(std::slice::from_ref(key)) {
            let line = format!("\n        {} = ", key.name);
            let list = format!("\n        [[consistency.{}]]", key.name);
            assert!(key.name == "nothing" || read.contains(&line) || read.contains(&list), "{}", key.name);
        }
    }
}

#[test]
fn what_is_left_out_loses_nothing() {
    let policy = policy(LEAST);
    let terms = policy.terms().expect("it backs up");
    assert_eq!(terms.keep, None, "everything is kept");
    assert_eq!(terms.drill, None);
    assert_eq!(terms.time_zone, TimeZone::UTC);
    assert_eq!(terms.guard, Guard { shrink_percent: 50, file_loss_percent: 50, identity: true });
    assert_eq!(terms.pack.full_every, DAY * 30);
    assert_eq!(terms.notify.on, Event::ALL);
    assert!(policy.select.is_empty());
}

#[test]
fn nothing_is_a_decision_with_a_reason() {
    let policy = policy("nothing = \"because it is a cache\"\n[select]\nvolumes = [\"x\"]\n");
    assert_eq!(policy.rule, Rule::Nothing { because: "because it is a cache".into() });
    assert_eq!(policy.terms(), None);
}

#[test]
fn what_is_kept_is_what_retention_counts() {
    let kept = |more: &str| policy(&format!("{LEAST}[keep]\n{more}")).terms().unwrap().keep.clone().unwrap();
    let counted = kept("daily = 14\nwithin = \"3d\"\ngrace = \"1d\"\n").counted().unwrap();
    let hours = jiff::SignedDuration::from_hours;
    let want =
        retention::Terms { daily: 14, within: hours(72), grace: hours(24), ..retention::Terms::default() };
    assert_eq!(*counted.terms(), want);
}
