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
        unpruned: None,
        drill: None,
    }
}

fn looked(told: &Told, health: &[Health]) -> (Told, Vec<News>) {
    changes(told, &Stand { health, ..Stand::default() }, |_| true)
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

/// Each word is how `db` stands at one look: `good`, `fail`, `late`, `held`, `unpruned`, `gone`, `away`, `clash`, `unsure` (its newest run
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
        health.unpruned = has("unpruned").then(|| "its policy would delete more".to_owned());
        let result = if has("bad") { DrillResult::Unproven } else { DrillResult::Proven };
        let drill = drilled(result, has("stale"));
        health.drill = (has("proof") || has("bad") || has("stale")).then_some(drill);
        let gone = Vanished { source: "db".into(), policy: "p".into(), since: at("20T01:00") };
        let there = if has("gone") || has("away") || has("clash") { Vec::new() } else { vec![health] };
        let vanished = if has("gone") { vec![gone] } else { Vec::new() };
        let clash = Unsettled { source: "db".into(), policy: "p".into(), text: "two want it".into() };
        let unsettled = if has("clash") { vec![clash] } else { Vec::new() };
        let stand = Stand { health: &there, vanished: &vanished, unsettled: &unsettled, ..Stand::default() };
        let (after, news) = changes(&told, &stand, |_| true);
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
    check(&[("unpruned", "failure"), ("unpruned+good", ""), ("good", "recovery"), ("unpruned", "failure")]);
    check(&[("held", "guard"), ("held", ""), ("good", ""), ("held", "guard")]);
    check(&[("good", ""), ("gone", "vanished"), ("gone", ""), ("good", "recovery"), ("gone", "vanished")]);
    check(&[("good", ""), ("clash", "failure"), ("clash", ""), ("good", "recovery"), ("clash", "failure")]);
    check(&[("clash", "failure"), ("away", ""), ("clash", "failure"), ("clash+gone", "vanished")]);
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
    let (told, _) = looked(&Told::default(), &[Health { failures: 1, ..well() }]);
    assert_eq!(told.len(), 1);
    assert_eq!(changes(&told, &Stand::default(), |_| false), (Told::default(), Vec::new()));
    assert_eq!(changes(&told, &Stand::default(), |_| true).0, told);
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
    let (_, news) = changes(
        &Told::default(),
        &Stand { health: &[health], vanished: &[gone], ..Stand::default() },
        |_| true,
    );
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

/// H2: it failed when the clock was ten years ahead, and was good then.
#[test]
fn a_failure_ends_with_a_good_one_whatever_the_clock_said_before() {
    let then = Health { failures: 1, last_good: Some("2036-11-19T02:00:00Z".parse().unwrap()), ..well() };
    let (mut told, news) = looked(&Told::default(), &[then]);
    assert_eq!(news.len(), 1);
    set_right(&mut told, at("20T02:00"));
    let (after, news) = looked(&told, &[well()]);
    assert!(news[0].event == Event::Recovery && after.is_empty(), "{news:?}");

    let today = Health { failures: 1, ..well() };
    let (mut told, _) = looked(&Told::default(), &[today]);
    let before = told.clone();
    set_right(&mut told, at("19T01:30"));
    assert_eq!(told, before, "a clock that was set back by a little");
}

#[test]
fn trouble_of_the_host_is_told_once_and_ended_also_where_nobody_has_looked_yet() {
    let (bad, away) = ((Trouble::Policies, "bad".to_owned()), (Trouble::Looking, "no Docker".to_owned()));
    let (before, _) = looked(&Told::default(), &[Health { failures: 1, overdue: true, ..well() }]);
    let mut told = before.clone();
    for (troubles, want) in [
        (&[bad.clone()][..], "failure bad"),
        (std::slice::from_ref(&bad), ""),
        (&[bad.clone(), away.clone()], "failure no Docker"),
        (&[(Trouble::Looking, "still no Docker".to_owned())], "recovery its policies are good again"),
        (&[], "recovery it can be looked at again"),
    ] {
        let stand = Stand { troubles, unseen: true, ..Stand::default() };
        let (after, news) = changes(&told, &stand, |_| false);
        let got: Vec<_> = news.iter().map(|news| format!("{} {}", news.event.word(), news.text)).collect();
        assert_eq!(got.join("; "), want);
        told = serde_json::from_str(&serde_json::to_string(&after).unwrap()).unwrap();
    }
    assert_eq!(told, before, "of the sources nothing was forgotten");
}
