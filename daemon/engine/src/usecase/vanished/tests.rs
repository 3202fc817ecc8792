//! Who is missed when, over days that pass as the rows of a table.

use policies::policy::Folder;
use policies::select::{Source, SourceKind, User};

use super::*;
use crate::usecase::cover::Policies;

fn at(text: &str) -> Timestamp {
    format!("2026-11-{text}:00Z").parse().unwrap()
}

/// `db` by its name under `night`, `web` by the label of its container, or of whatever is written behind `=`.
fn cover(policies: &[(&str, &str)], sources: &str) -> Cover {
    let folder = Folder::judge(policies.iter().copied()).unwrap();
    let source = |text: &str| {
        let (name, label) = text.split_once('=').unwrap_or((text, ""));
        let labels = [("backupd.policy".to_owned(), label.to_owned())].into();
        let user = User { container: "c".into(), labels, at: "/x".into() };
        Source {
            name: name.into(),
            kind: SourceKind::Volume,
            driver: "local".into(),
            labels: BTreeMap::new(),
            users: if label.is_empty() { Vec::new() } else { vec![user] },
        }
    };
    let sources = sources.split_whitespace().map(source).collect();
    Cover { policies: Policies { folder, shipped: false }, sources }
}

const NIGHT: (&str, &str) = (
    "night.toml",
    "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\n[select]\nvolumes = [\"db\", \"tmp\"]\n",
);
const GONE_BY: (&str, &str) = ("cache.toml", "nothing = \"a cache\"\n[select]\nvolumes = [\"web\"]\n");

fn ledger(sources: &[&str]) -> Ledger {
    let entry = Entry {
        policy: "night".into(),
        schedule: "0 2 * * * UTC".into(),
        since: at("01T00:00"),
        dealt_with: at("19T02:00"),
        labelled: false,
        gone: None,
        open: None,
    };
    let sources = sources.iter().map(|name| (name.parse().unwrap(), entry.clone())).collect();
    Ledger { sources, ..Ledger::default() }
}

/// Policies, sources and time of a look, and who is missed then.
type Look<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str, &'a str);

/// Looks at a host again and again.
#[track_caller]
fn check(looks: &[Look<'_>], acknowledged: &[(&str, &str)]) -> Ledger {
    let mut ledger = ledger(&["db", "tmp", "web"]);
    let kept: BTreeSet<SourceName> = ["db", "web"].iter().map(|name| name.parse().unwrap()).collect();
    let sources = acknowledged.iter().map(|(name, then)| (name.parse().unwrap(), at(then))).collect();
    let meant = Meant { sources };
    for (policies, sources, now, want) in looks {
        let cover = cover(policies, sources);
        let heard = meant.sources.iter().filter(|(_, then)| **then <= at(now));
        let meant = Meant { sources: heard.map(|(source, then)| (source.clone(), *then)).collect() };
        let facts = Facts { meant, kept: kept.clone(), now: at(now) };
        bring_up(&mut ledger, &cover, &facts);
        let missed = missed(&cover, &ledger, &facts);
        let got: Vec<_> =
            missed.iter().map(|v| format!("{} {}", v.source, v.since.strftime("%dT%H:%M"))).collect();
        assert_eq!(got.join(", "), *want, "{now}");
    }
    ledger
}

#[test]
fn what_is_away_is_missed_until_it_is_back() {
    let all: &[_] = &[NIGHT];
    let ledger = check(
        &[
            (all, "db tmp web=night", "20T10:00", ""),
            (all, "web=night", "20T10:01", ""),
            (all, "web=night", "20T10:05", ""),
            // `tmp` has no snapshot, and nobody labelled it.
            (all, "web=night", "20T10:06", "db 20T10:01"),
            (all, "db web=night", "20T10:07", ""),
            // Its container is gone, and with it the label.
            (all, "db web", "20T10:08", ""),
            (all, "db web", "20T10:13", "web 20T10:08"),
            (all, "db web=other", "20T10:14", ""),
            (all, "db web", "20T10:15", ""),
            (all, "db", "20T10:20", "web 20T10:15"),
            (all, "db", "29T10:20", "web 20T10:15"),
        ],
        &[],
    );
    assert!(ledger.sources.contains_key(&"tmp".parse().unwrap()), "it may come back to its slots");
    let mut later = ledger;
    let kept = BTreeSet::from(["db".parse().unwrap()]);
    let facts = Facts { meant: Meant::default(), kept, now: "2027-02-01T00:00:00Z".parse().unwrap() };
    bring_up(&mut later, &cover(all, "db"), &facts);
    let left: Vec<_> = later.sources.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["db", "web"], "what is missed stays for months, and nothing else does");
}

#[test]
fn a_person_ends_it_by_a_policy_or_a_word() {
    let all: &[_] = &[NIGHT];
    let decided: &[_] = &[NIGHT, GONE_BY];
    let ledger = check(
        &[
            (all, "db web=night", "20T10:00", ""),
            (all, "web", "20T10:01", ""),
            (all, "web", "20T11:00", "db 20T10:01, web 20T10:01"),
            (decided, "web", "20T11:01", "db 20T10:01"),
            (&[GONE_BY], "web", "20T11:02", ""),
            (all, "web", "20T11:03", ""),
            (all, "web", "20T12:00", "db 20T11:03, web 20T11:03"),
            (all, "web", "20T13:00", "web 20T11:03"),
            (all, "db web=night", "20T13:01", ""),
        ],
        &[("db", "20T12:30")],
    );
    assert!(!ledger.sources.contains_key(&"db".parse().unwrap()), "its schedule is noticed anew");
}

#[test]
fn an_acknowledgement_is_about_what_had_gone_by_then() {
    let meant = Meant { sources: [("db".parse().unwrap(), at("20T10:00"))].into() };
    let entry = |gone: &str| Entry { gone: Some(at(gone)), ..ledger(&["db"]).sources.pop_first().unwrap().1 };
    let covers =
        |source: &str, gone: &str, now: &str| meant.covers(&source.parse().unwrap(), &entry(gone), at(now));
    assert!(covers("db", "20T09:00", "20T10:00"));
    assert!(!covers("db", "20T10:01", "20T11:00"));
    assert!(!covers("web", "20T09:00", "20T10:00"));
    assert!(covers("db", "20T09:00", "20T09:56"), "a clock that was set right by a little");
    assert!(!covers("db", "19T09:00", "19T10:00"), "a clock that was ahead by a day");
}

/// H2: what was seen by a clock that was ahead is missed all the same, once the clock is right.
#[test]
fn a_clock_that_was_ahead_puts_nothing_off() {
    let all: &[_] = &[NIGHT];
    check(
        &[
            (all, "web=night", "29T10:00", ""),
            (all, "web=night", "20T10:00", ""),
            (all, "web=night", "20T10:05", "db 20T10:00"),
            (all, "web=night", "20T11:00", "db 20T10:00"),
        ],
        &[],
    );
}
