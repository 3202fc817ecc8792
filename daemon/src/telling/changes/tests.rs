//! What is told over looks that follow each other, as tables.

use engine::usecase::drill::DrillLine;

use super::*;

fn at(text: &str) -> Timestamp {
    format!("2026-11-{text}:00Z").parse().unwrap()
}

fn well() -> Health {
    Health {
        source: "db".into(),
        policy: "p".into(),
        last_good: Some(at("19T02:00")),
        age_seconds: None,
        last_seconds: None,
        last_bytes: None,
        next: None,
        overdue: false,
        failures: 0,
        message: None,
        running: None,
        held: None,
        pruned_at: None,
        drill: None,
    }
}

fn drilled(result: DrillResult, overdue: bool) -> DrillStanding {
    let last = DrillLine {
        run: "r".into(),
        snapshot: "db-data@42".into(),
        at: at("19T02:00"),
        checker: "postgres".into(),
        result,
        what: "pg_amcheck: heap table \"t\"".into(),
        restore_seconds: None,
        seconds: 1.0,
    };
    DrillStanding {
        every_seconds: Some(604_800),
        proven_at: None,
        proven: None,
        restore_seconds: None,
        last: Some(last),
        message: None,
        next: None,
        overdue,
        running: false,
    }
}

/// Each word is how `db` stands at one look: `good`, `fail`, `late`, `held`, `gone`, `away`, `unsure` (its newest run
/// was interrupted), `proof`, `bad` and `stale` (what drills say), or several of them with `+`; and what is told then.
#[track_caller]
fn check(looks: &[(&str, &str)]) {
    let mut told = Told::default();
    for (day, (word, want)) in looks.iter().enumerate() {
        let has = |what: &str| word.split('+').any(|one| one == what);
        let mut health = well();
        if has("good") {
            health.last_good = Some(at(&format!("19T{:02}:00", 3 + day)));
        }
        health.failures = u32::from(has("fail"));
        health.message = has("fail").then(|| "no space".to_owned());
        health.overdue = has("late");
        health.held = has("held").then(|| "has 1 files after 8".to_owned());
        let result = if has("bad") { DrillResult::Unproven } else { DrillResult::Proven };
        let drill = drilled(result, has("stale"));
        health.drill = (has("proof") || has("bad") || has("stale")).then_some(drill);
        let gone = Vanished { source: "db".into(), policy: "p".into(), since: at("20T01:00") };
        let there = if has("gone") || has("away") { Vec::new() } else { vec![health] };
        let vanished = if has("gone") { vec![gone] } else { Vec::new() };
        let (after, news) = changes(&told, &there, &vanished, |_| true);
        let got: Vec<_> = news.iter().map(|news| news.event.word()).collect();
        assert_eq!(got.join(" "), *want, "{word} on look {day}");
        // What was told survives the file that it is kept in.
        told = serde_json::from_str(&serde_json::to_string(&after).unwrap()).unwrap();
    }
}

#[test]
fn each_change_is_told_once() {
    check(&[("good", ""), ("good", "")]);
    check(&[("fail", "failure"), ("fail", ""), ("fail", ""), ("good", "recovery"), ("good", "")]);
    check(&[("late", "overdue"), ("late", ""), ("good", "recovery"), ("late", "overdue")]);
    check(&[("fail+late", "failure overdue"), ("fail+late", ""), ("good", "recovery")]);
    check(&[("held", "guard"), ("held", ""), ("good", ""), ("held", "guard")]);
    check(&[("good", ""), ("gone", "vanished"), ("gone", ""), ("good", "recovery"), ("gone", "vanished")]);
}

#[test]
fn what_drills_say_is_told_once_and_ended_by_a_proof_alone() {
    check(&[("proof", ""), ("bad", "failure"), ("bad", ""), ("proof", "recovery"), ("proof", "")]);
    check(&[("stale", "overdue"), ("stale", ""), ("proof", "recovery"), ("bad", "failure")]);
    check(&[("bad", "failure"), ("good", ""), ("proof", ""), ("bad", "failure")]);
    check(&[("bad+fail", "failure failure"), ("bad+good", "recovery"), ("proof+good", "recovery")]);
}

#[test]
fn nothing_is_well_before_a_snapshot_says_so() {
    check(&[("fail", "failure"), ("unsure", ""), ("fail", ""), ("unsure", ""), ("good", "recovery")]);
    check(&[("fail", "failure"), ("away", ""), ("fail", ""), ("good", "recovery")]);
    // Somebody let it go: that is no recovery.
    check(&[("gone", "vanished"), ("away", ""), ("away", "")]);
}

#[test]
fn what_nobody_knows_any_more_is_forgotten() {
    let (told, _) = changes(&Told::default(), &[Health { failures: 1, ..well() }], &[], |_| true);
    assert_eq!(told.len(), 1);
    assert_eq!(changes(&told, &[], &[], |_| false), (Told::default(), Vec::new()));
    assert_eq!(changes(&told, &[], &[], |_| true).0, told);
}

#[test]
fn texts_say_what_and_the_next_command() {
    let health = Health {
        failures: 2,
        message: Some("no space".into()),
        overdue: true,
        held: Some("lost".into()),
        last_good: None,
        ..well()
    };
    let gone = Vanished { source: "web:/srv".into(), policy: "p".into(), since: at("20T01:00") };
    let (_, news) = changes(&Told::default(), &[health], &[gone], |_| true);
    let texts: Vec<_> = news.iter().map(|news| news.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "backup of `db` failed: no space",
            "`db` is overdue: it has no good snapshot at all",
            "`db` lost; nothing of it is pruned: look at it, then `backupctl acknowledge db`",
            "`web:/srv`, which policy `p` backs up, is not there any more since 2026-11-20T01:00:00Z; if that is \
             meant, `backupctl acknowledge web:/srv`",
        ]
    );
}
