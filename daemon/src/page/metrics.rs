//! What a scraper is told, in the text format of Prometheus.
//!
//! Always true: names, times and sizes; never content, never a secret. Every name begins with `backupd_`, and what has no
//! value yet has no line.

use std::fmt::Write as _;

use engine::catalog::DrillResult;
use engine::usecase::drill::DrillStanding;
use engine::usecase::health::Health;
use engine::words::SourceName;
use jiff::Timestamp;

use crate::keeping::{Counts, Sight};

/// All of it.
pub(super) fn metrics(sight: &Sight, counts: Counts<'_>, trouble: bool, now: Timestamp) -> String {
    let mut out = String::new();
    of_sources(&mut out, &sight.health, counts);
    of_drills(&mut out, &sight.health);
    let gone = sight.vanished.iter().map(|gone| (labels(&gone.source, &gone.policy), "1".to_owned()));
    family(&mut out, "vanished", "gauge", "1 for a source that is not there any more and is missed.", gone);
    let alone = |value: String| std::iter::once((String::new(), value));
    let trouble = alone(u8::from(trouble).to_string());
    let about = "1 while Docker cannot be asked, policies are bad, or two claim one source.";
    family(&mut out, "trouble", "gauge", about, trouble);
    let looked = alone(now.as_second().to_string());
    let about = "When the daemon last went through its schedules.";
    family(&mut out, "last_look_timestamp_seconds", "gauge", about, looked);
    let told = alone(counts.told.to_string());
    family(&mut out, "notifications_total", "counter", "Webhooks, commands and heartbeats that heard.", told);
    let untold = alone(counts.untold.to_string());
    let about = "Those that were given up after several tries.";
    family(&mut out, "notification_failures_total", "counter", about, untold);
    out
}

/// What there is of each source that a policy backs up.
fn of_sources(out: &mut String, all: &[Health], counts: Counts<'_>) {
    let mut each = |name: &str, kind: &str, about: &str, value: &dyn Fn(&Health) -> Option<String>| {
        let of = |health: &Health| Some((labels(&health.source, &health.policy), value(health)?));
        family(out, name, kind, about, all.iter().filter_map(of));
    };
    let seconds = |at: jiff::Timestamp| at.as_second().to_string();
    let flag = |on: bool| Some(u8::from(on).to_string());
    let name = |health: &Health| health.source.parse::<SourceName>().ok();
    each("last_success_timestamp_seconds", "gauge", "When the newest whole snapshot was taken.", &|h| {
        h.last_good.map(seconds)
    });
    each("last_success_age_seconds", "gauge", "Seconds since then.", &|h| {
        h.age_seconds.map(|age| age.to_string())
    });
    each("last_run_duration_seconds", "gauge", "How long the newest run took.", &|h| {
        h.last_seconds.map(|seconds| seconds.to_string())
    });
    each("last_run_bytes", "gauge", "How many bytes it read.", &|h| h.last_bytes.map(|b| b.to_string()));
    each("next_run_timestamp_seconds", "gauge", "When it runs next.", &|h| h.next.map(seconds));
    each("overdue", "gauge", "1 if its schedule wants a newer snapshot than there is.", &|h| flag(h.overdue));
    each("failing", "gauge", "Runs that failed since the last good one.", &|h| Some(h.failures.to_string()));
    each("running", "gauge", "1 while a run is on.", &|h| flag(h.running.is_some()));
    each("run_failures_total", "counter", "Runs that failed since this process began.", &|h| {
        Some(counts.failures.get(&name(h)?).copied().unwrap_or(0).to_string())
    });
    each("guard_held", "gauge", "1 while the guard holds its pruning.", &|h| flag(h.held.is_some()));
    let about = "1 while its pruning is left undone: it would delete more than it keeps, or failed.";
    each("prune_refused", "gauge", about, &|h| flag(h.unpruned.is_some()));
    each("last_prune_timestamp_seconds", "gauge", "When pruning last came to its end.", &|h| {
        h.pruned_at.map(seconds)
    });
}

/// What drills found.
fn of_drills(out: &mut String, all: &[Health]) {
    let mut each = |name: &str, about: &str, value: &dyn Fn(&DrillStanding) -> Option<String>| {
        let of =
            |health: &Health| Some((labels(&health.source, &health.policy), value(health.drill.as_ref()?)?));
        family(out, name, "gauge", about, all.iter().filter_map(of));
    };
    let flag = |on: bool| Some(u8::from(on).to_string());
    each("proven_timestamp_seconds", "When a drill last proved a snapshot of it.", &|drill| {
        drill.proven_at.map(|at| at.as_second().to_string())
    });
    each("drill_restore_seconds", "How long the newest restore of a drill took.", &|drill| {
        drill.restore_seconds.map(|seconds| seconds.to_string())
    });
    each("drill_good", "1 if the newest drill proved a snapshot.", &|drill| {
        drill.last.as_ref().and_then(|last| flag(last.result == DrillResult::Proven))
    });
    each("drill_overdue", "1 if its policy wants a newer proof than there is.", &|drill| flag(drill.overdue));
}

/// One metric, with a line for each that has a value.
fn family(
    out: &mut String,
    name: &str,
    kind: &str,
    about: &str,
    values: impl Iterator<Item = (String, String)>,
) {
    // Writing into a text cannot fail.
    writeln!(out, "# HELP backupd_{name} {about}\n# TYPE backupd_{name} {kind}").ok();
    for (labels, value) in values {
        writeln!(out, "backupd_{name}{labels} {value}").ok();
    }
}

fn labels(source: &str, policy: &str) -> String {
    format!("{{source=\"{}\",policy=\"{}\"}}", escaped(source), escaped(policy))
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
