//! A restore's plan as people read it before they agree.

use engine::format::manifest::Consistency;
use engine::usecase::restore::{PlannedStop, RestorePlan};
use engine::words::HostName;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::screen::{plain, units};

/// What of a plan is printed.
#[derive(Debug, Clone)]
pub(super) struct PlanText<'a> {
    snapshot: &'a str,
    from_host: Option<&'a HostName>,
    taken_at: Timestamp,
    age_seconds: i64,
    why: &'a str,
    /// The moment that was asked for.
    at: Option<Timestamp>,
    consistency: Consistency,
    proven_at: Option<Timestamp>,
    target: &'a str,
    target_exists: bool,
    creates_volume: bool,
    in_place: bool,
    delta: bool,
    unfinished_at: Option<Timestamp>,
    replaces_entries: u64,
    paths: &'a [String],
    absent_paths: Option<&'a [String]>,
    only_now: Option<u64>,
    only_now_named: &'a [String],
    differing: Option<u64>,
    files: u64,
    entries: u64,
    bytes: u64,
    fetch_bytes: u64,
    free_bytes: Option<u64>,
    free_inodes: Option<u64>,
    stops: &'a [PlannedStop],
    warnings: &'a [String],
}

impl<'a> PlanText<'a> {
    /// Of the plan that will be executed; `from_host` is the other host that was asked for.
    pub(super) fn of(plan: &'a RestorePlan, from_host: Option<&'a HostName>) -> Self {
        Self {
            snapshot: &plan.snapshot,
            from_host,
            taken_at: plan.taken_at,
            age_seconds: plan.age_seconds,
            why: &plan.why,
            at: plan.request.at,
            consistency: plan.consistency,
            proven_at: plan.proven_at,
            target: &plan.target,
            target_exists: plan.target_exists,
            creates_volume: plan.creates_volume,
            in_place: plan.in_place,
            delta: plan.delta,
            unfinished_at: plan.unfinished_at,
            replaces_entries: plan.replaces_entries,
            paths: &plan.paths,
            absent_paths: plan.absent_paths.as_deref(),
            only_now: plan.only_now,
            only_now_named: &plan.only_now_named,
            differing: plan.differing,
            files: plan.files,
            entries: plan.entries,
            bytes: plan.bytes,
            fetch_bytes: plan.fetch_bytes,
            free_bytes: plan.free_bytes,
            free_inodes: plan.free_inodes,
            stops: &plan.stops,
            warnings: &plan.warnings,
        }
    }

    /// Lines that answer, in this order: from when, why that one, into what, how much, who stops.
    pub(super) fn text(&self, zone: &TimeZone) -> String {
        let mut out = format!("restore {} into {}\n", plain::line(self.snapshot), plain::line(self.target));
        let mut line = |name: &str, text: String| out += &format!("  {name:<9} {text}\n");
        if let Some(host) = self.from_host {
            line("host", format!("{host}, another one than this"));
        }
        line("taken", self.taken(zone));
        // The reason is in UTC, and what was typed was not.
        let elsewhere = self.at.filter(|at| !zone.to_offset(*at).is_zero());
        let here =
            elsewhere.map_or_else(String::new, |at| format!(" ({})", units::moment_with_zone(at, zone)));
        line("chosen", format!("{}{here}", plain::line(self.why)));
        line("target", self.target());
        for path in self.paths {
            line("path", self.path(path));
        }
        if self.in_place && (self.replaces_entries > 0 || !self.paths.is_empty()) {
            line("loses", self.loses());
        }
        if let Some(differing) = self.differing.filter(|differing| *differing > 0) {
            let counted = units::counted(differing, "entry", "entries");
            line("changes", format!("{counted} of another size, time or kind"));
        }
        if self.delta {
            let all = "all of it is compared, and only what differs is fetched and overwritten";
            line("delta", format!("{all}; who uses it is down meanwhile, and not for a moment only"));
        }
        if let Some(since) = self.unfinished_at {
            let left =
                format!("what a restore left that was cut off, {}", units::moment_with_zone(since, zone));
            line(
                "goes on",
                format!("with {left}; all of it is compared, and only what is missing is fetched"),
            );
        }
        line("content", self.content());
        if let Some(free) = self.free_bytes {
            let inodes = self.free_inodes.map_or_else(String::new, |inodes| {
                format!(" and {}", units::counted(inodes, "inode", "inodes"))
            });
            line("space", format!("{}{inodes} free", units::bytes(free)));
        }
        for stop in self.stops {
            let what = format!("{} (image {})", plain::line(&stop.container), plain::line(&stop.image));
            if stop.running {
                line("stops", format!("{what}, and starts it again"));
            } else {
                line("leaves", format!("{what} stopped, as it is"));
            }
        }
        for warning in self.warnings {
            line("warning", plain::line(warning).into_owned());
        }
        out
    }

    fn taken(&self, zone: &TimeZone) -> String {
        let proven = match self.proven_at {
            Some(at) => format!("proven {}", units::moment_with_zone(at, zone)),
            None => "not proven yet".to_owned(),
        };
        format!(
            "{} ({}), {}, {proven}",
            units::moment_with_zone(self.taken_at, zone),
            units::age(self.age_seconds),
            self.consistency.word(),
        )
    }

    fn content(&self) -> String {
        let partly = self.delta || self.unfinished_at.is_some() || !self.paths.is_empty();
        format!(
            "{} and {} in all, {}; {}{} to fetch",
            units::counted(self.files, "file", "files"),
            units::counted(self.entries, "entry", "entries"),
            units::bytes(self.bytes),
            if partly { "at most " } else { "" },
            units::bytes(self.fetch_bytes),
        )
    }

    /// What is in no snapshot that this one leans on is gone afterwards, unless it is kept.
    fn loses(&self) -> String {
        let counted = |count| units::counted(count, "entry", "entries");
        match self.only_now {
            None => "not counted: it is too much, or the tables of the snapshot cannot be read".to_owned(),
            Some(0) => "nothing that the snapshot does not have".to_owned(),
            Some(count) => {
                let named: Vec<_> = self.only_now_named.iter().map(|path| plain::line(path)).collect();
                let more = match count.saturating_sub(named.len() as u64) {
                    0 => String::new(),
                    more => format!(" and {} more", units::count(more)),
                };
                format!("{} that the snapshot does not have: {}{more}", counted(count), named.join(", "))
            }
        }
    }

    /// What happens at a path.
    fn path(&self, path: &String) -> String {
        let named = plain::line(path);
        match self.absent_paths {
            _ if !self.in_place => named.into_owned(),
            Some(absent) if absent.contains(path) => format!("{named} is not there now, and is made"),
            Some(_) => format!("{named} is replaced"),
            None => format!("{named} is replaced, or made if it is not there"),
        }
    }

    fn target(&self) -> String {
        let target = plain::line(self.target);
        // Only the top was looked at: counting a whole tree could take longer than the restore.
        let top = units::counted(self.replaces_entries, "entry", "entries");
        if self.creates_volume {
            format!("{target} does not exist and is created")
        } else if !self.target_exists {
            format!("{target} does not exist")
        } else if self.delta {
            format!("{target} exists, {top} at its top")
        } else if self.in_place && !self.paths.is_empty() {
            format!("{target} exists; only what lies at the paths is replaced, all else stays as it is")
        } else if self.in_place && self.replaces_entries > 0 {
            format!("{target} exists; all that is in it is replaced, {top} at its top")
        } else {
            format!("{target} exists and is empty")
        }
    }
}

/// Paths in a sentence.
pub(in crate::verbs) fn named(paths: &[String]) -> String {
    let named: Vec<_> = paths.iter().map(|path| format!("`{}`", plain::line(path))).collect();
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan<'a>(stops: &'a [PlannedStop], named: &'a [String], warnings: &'a [String]) -> PlanText<'a> {
        PlanText {
            snapshot: "db-data@42",
            from_host: None,
            taken_at: "2026-11-20T13:00:05Z".parse().unwrap(),
            age_seconds: 75_600,
            why: "it is the newest that was taken by 2026-11-20T13:30:00Z",
            at: Some("2026-11-20T13:30:00Z".parse().unwrap()),
            consistency: Consistency::Idle,
            proven_at: None,
            target: "db-data",
            target_exists: true,
            creates_volume: false,
            in_place: true,
            delta: false,
            unfinished_at: None,
            replaces_entries: 12,
            paths: &[],
            absent_paths: None,
            only_now: Some(4),
            only_now_named: named,
            differing: Some(1),
            files: 1234,
            entries: 1300,
            bytes: 5 << 30,
            fetch_bytes: 1 << 30,
            free_bytes: Some(80 << 30),
            free_inodes: Some(5_000_000),
            stops,
            warnings,
        }
    }

    #[test]
    fn a_plan_in_place_names_what_is_lost_and_who_stops() {
        let stop = |container: &str, running| PlannedStop {
            container: container.into(),
            image: "postgres:17".into(),
            running,
        };
        let stops = [stop("db", true), stop("old\x1b[2J", false)];
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let want = "\
restore db-data@42 into db-data
  taken     2026-11-20 14:00:05 +01:00 (21 h ago), idle, not proven yet
  chosen    it is the newest that was taken by 2026-11-20T13:30:00Z (2026-11-20 14:30:00 +01:00)
  target    db-data exists; all that is in it is replaced, 12 entries at its top
  loses     4 entries that the snapshot does not have: a, b\\u{1b} and 2 more
  changes   1 entry of another size, time or kind
  content   1,234 files and 1,300 entries in all, 5.0 GiB; 1.0 GiB to fetch
  space     80 GiB and 5,000,000 inodes free
  stops     db (image postgres:17), and starts it again
  leaves    old\\u{1b}[2J (image postgres:17) stopped, as it is
  warning   the data is of PostgreSQL 16, and `db` runs 17
";
        let warnings = ["the data is of PostgreSQL 16, and `db` runs 17".to_owned()];
        let named = ["a", "b\x1b"].map(str::to_owned);
        assert_eq!(plan(&stops, &named, &warnings).text(&zone), want);
        let same = PlanText { only_now: Some(0), differing: Some(0), ..plan(&[], &[], &[]) };
        assert!(same.text(&zone).contains("  loses     nothing that the snapshot does not have\n  content"));
        let vast = PlanText { only_now: None, differing: None, ..plan(&[], &[], &[]) };
        assert!(vast.text(&zone).contains("  loses     not counted"));
    }

    #[test]
    fn a_plan_of_a_delta_says_what_it_costs() {
        let named = ["a".to_owned()];
        let delta = PlanText { delta: true, at: None, why: "it is the newest", ..plan(&[], &named, &[]) };
        let want = "\
restore db-data@42 into db-data
  taken     2026-11-20 13:00:05 +00:00 (21 h ago), idle, not proven yet
  chosen    it is the newest
  target    db-data exists, 12 entries at its top
  loses     4 entries that the snapshot does not have: a and 3 more
  changes   1 entry of another size, time or kind
  delta     all of it is compared, and only what differs is fetched and overwritten; who uses it is down meanwhile, and not for a moment only
  content   1,234 files and 1,300 entries in all, 5.0 GiB; at most 1.0 GiB to fetch
  space     80 GiB and 5,000,000 inodes free
";
        assert_eq!(delta.text(&TimeZone::UTC), want);
    }

    #[test]
    fn a_plan_that_goes_on_says_with_what() {
        let plan = PlanText {
            unfinished_at: Some(Timestamp::from_second(1_795_179_605).unwrap()),
            ..plan(&[], &[], &[])
        };
        let text = plan.text(&TimeZone::UTC);
        let want = "  goes on   with what a restore left that was cut off, 2026-11-20 13:00:05 +00:00; all of it is compared, and \
                    only what is missing is fetched\n";
        assert!(text.contains(want), "{text}");
        assert!(text.contains("at most"), "{text}");
    }

    #[test]
    fn a_plan_of_paths_says_what_happens_at_each() {
        let (named, paths) = (["d/new".to_owned()], ["d", "e/f\x1b"].map(str::to_owned));
        let some = PlanText {
            at: None,
            why: "it is the newest",
            paths: &paths,
            absent_paths: Some(&paths[1..]),
            only_now: Some(1),
            ..plan(&[], &named, &[])
        };
        let want = "\
restore db-data@42 into db-data
  taken     2026-11-20 13:00:05 +00:00 (21 h ago), idle, not proven yet
  chosen    it is the newest
  target    db-data exists; only what lies at the paths is replaced, all else stays as it is
  path      d is replaced
  path      e/f\\u{1b} is not there now, and is made
  loses     1 entry that the snapshot does not have: d/new
  changes   1 entry of another size, time or kind
  content   1,234 files and 1,300 entries in all, 5.0 GiB; at most 1.0 GiB to fetch
  space     80 GiB and 5,000,000 inodes free
";
        assert_eq!(some.text(&TimeZone::UTC), want);
        let unseen = PlanText { absent_paths: None, ..some.clone() };
        assert!(
            unseen.text(&TimeZone::UTC).contains("  path      d is replaced, or made if it is not there\n")
        );
        let beside = PlanText { in_place: false, ..some };
        assert!(beside.text(&TimeZone::UTC).contains("  path      d\n"));
    }

    #[test]
    fn a_plan_into_a_new_volume_replaces_nothing() {
        let old_vm: HostName = "old-vm".parse().unwrap();
        let new = PlanText {
            from_host: Some(&old_vm),
            target: "look",
            target_exists: false,
            creates_volume: true,
            in_place: false,
            replaces_entries: 0,
            differing: None,
            free_bytes: None,
            proven_at: Some("2026-11-21T02:00:00Z".parse().unwrap()),
            ..plan(&[], &[], &[])
        };
        let want = "\
restore db-data@42 into look
  host      old-vm, another one than this
  taken     2026-11-20 13:00:05 +00:00 (21 h ago), idle, proven 2026-11-21 02:00:00 +00:00
  chosen    it is the newest that was taken by 2026-11-20T13:30:00Z
  target    look does not exist and is created
  content   1,234 files and 1,300 entries in all, 5.0 GiB; 1.0 GiB to fetch
";
        assert_eq!(new.text(&TimeZone::UTC), want);
    }
}
