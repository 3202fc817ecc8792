//! The last line of a restore: what was restored, how it was checked, how long it took, how those are who run again, and
//! what to do next. One line, so that who looks at nothing else has seen all of it.

use engine::usecase::restore::{RestorePlan, RestoreReport};
use engine::usecase::runs_again::{Condition, RunsAgain};

use super::named;
use crate::screen::{plain, units};

/// Where it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Went {
    /// To where it was.
    Back,
    /// Into a volume beside it.
    Beside,
    /// Into a folder of the host.
    ToFolder,
}

/// What of the plan the last line needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    went: Went,
    source: String,
    target: String,
    keeps: bool,
}

impl End {
    pub(super) fn of(plan: &RestorePlan) -> Self {
        let went = match (&plan.request.into, &plan.request.to) {
            (Some(_), _) => Went::Beside,
            (None, Some(_)) => Went::ToFolder,
            (None, None) => Went::Back,
        };
        let source = plain::line(&plan.request.source.to_string()).into_owned();
        let keeps = plan.request.keep_previous && plan.target_exists;
        Self { went, source, target: plain::line(&plan.target).into_owned(), keeps }
    }

    /// The line.
    pub(super) fn line(&self, report: &RestoreReport) -> String {
        let parts = [Some(what(report)), again(&report.health), Some(self.next(report))];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{}\n", parts.join("; "))
    }

    /// What somebody does who has just got something back.
    fn next(&self, report: &RestoreReport) -> String {
        let Self { source, target, .. } = self;
        match self.went {
            Went::Beside => {
                format!("next: look into it; `docker volume rm {target}` when it is not needed any more")
            }
            Went::ToFolder => format!("next: copy what you need from `{target}`"),
            Went::Back => {
                let back = match self.keeps {
                    true => format!(
                        "; if not, `backupctl undo-restore {source}` brings back what was there before"
                    ),
                    false => String::new(),
                };
                let look = look(&report.health);
                format!(
                    "next: {look}, then `backupctl backup {source}`, so that the newest snapshot is a good one{back}"
                )
            }
        }
    }
}

/// What was done, of one of several.
pub(crate) fn done(report: &RestoreReport) -> String {
    format!("{}\n", what(report))
}

/// The line behind those of several.
pub(super) fn together(restored: &[RestoreReport], of: usize, kept: bool) -> String {
    let health: Vec<RunsAgain> = restored.iter().flat_map(|one| one.health.iter().cloned()).collect();
    let seconds = restored.iter().map(|one| one.seconds).fold(0.0, f64::max);
    let checked = if restored.iter().all(|one| one.verified) { ", every byte checked" } else { "" };
    let what = format!(
        "{} of {} restored{checked}, in {}",
        units::count(restored.len() as u64),
        units::counted(of as u64, "source", "sources"),
        units::seconds(seconds)
    );
    let back = match kept {
        true => "; if not, `backupctl undo-restore SOURCE` brings back what was there before",
        false => "",
    };
    let next = format!("next: {}, then back all of it up{back}", look(&health));
    let parts: Vec<String> = [Some(what), again(&health), Some(next)].into_iter().flatten().collect();
    format!("{}\n", parts.join("; "))
}

fn what(report: &RestoreReport) -> String {
    let (snapshot, target) = (plain::line(&report.snapshot), plain::line(&report.target));
    let mut out = match &report.paths[..] {
        [] => format!("{snapshot} is in {target}"),
        paths => format!(
            "{} of {snapshot} {} in {target}",
            named(paths),
            if paths.len() == 1 { "is" } else { "are" }
        ),
    };
    out += &format!(
        ": {}, {}, {}, fetched {} in {}",
        units::counted(report.files, "file", "files"),
        units::bytes(report.bytes),
        if report.verified { "every byte checked" } else { "not checked" },
        units::bytes(report.fetched_bytes),
        units::seconds(report.seconds),
    );
    if let Some(delta) = report.delta.as_ref().filter(|delta| !delta.too_much) {
        out += &format!(
            "; {} differed, {} of them overwritten",
            units::counted(delta.differing, "entry", "entries"),
            units::bytes(delta.written_bytes)
        );
    }
    if let Some(previous) = &report.previous {
        out += &format!("; what was there before is kept in {}", plain::line(previous));
    }
    out
}

/// Who runs again, and how.
pub(in crate::verbs) fn again(health: &[RunsAgain]) -> Option<String> {
    let one = |one: &RunsAgain| {
        let how = match one.health {
            Condition::Healthy => "healthy".to_owned(),
            Condition::Unchecked => "running, without a health check".to_owned(),
            Condition::NotHealthy => format!("not healthy yet after {}", units::seconds(one.seconds)),
        };
        format!("{} ({how})", plain::line(&one.container))
    };
    let all: Vec<String> = health.iter().map(one).collect();
    (!all.is_empty()).then(|| format!("started again: {}", all.join(", ")))
}

/// What to look at first.
fn look(health: &[RunsAgain]) -> String {
    match health.iter().find(|one| one.health == Condition::NotHealthy) {
        Some(one) => format!(
            "`docker logs {}` says what is wrong; see whether all is well",
            plain::line(&one.container)
        ),
        None => "see whether all is well".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use engine::usecase::restore::DeltaReport;

    use super::super::tests::{plan, report};
    use super::*;

    fn runs(container: &str, health: Condition) -> RunsAgain {
        RunsAgain { container: container.into(), health, seconds: 120.0 }
    }

    #[test]
    fn one_line_says_what_is_there_how_it_runs_and_what_is_next() {
        let mut keeping = plan(None, None);
        keeping.request.keep_previous = true;
        let health = vec![
            runs("db", Condition::Healthy),
            runs("web\x1b[1m", Condition::Unchecked),
            runs("job", Condition::NotHealthy),
        ];
        let want = "\
db-data@42 is in db-data: 1,234 files, 5.0 GiB, every byte checked, fetched 1.0 GiB in 1 min 15 s; \
what was there before is kept in .backupd-previous; \
started again: db (healthy), web\\u{1b}[1m (running, without a health check), job (not healthy yet after 2 min); \
next: `docker logs job` says what is wrong; see whether all is well, then `backupctl backup db-data`, so that the newest \
snapshot is a good one; if not, `backupctl undo-restore db-data` brings back what was there before
";
        assert_eq!(End::of(&keeping).line(&RestoreReport { health, ..report() }), want);
        let bare = RestoreReport { previous: None, ..report() };
        let want = "\
db-data@42 is in db-data: 1,234 files, 5.0 GiB, every byte checked, fetched 1.0 GiB in 1 min 15 s; \
next: see whether all is well, then `backupctl backup db-data`, so that the newest snapshot is a good one
";
        assert_eq!(End::of(&plan(None, None)).line(&bare), want);
        let delta = |too_much| Some(DeltaReport { differing: 12, written_bytes: 64 << 20, too_much });
        let differed = done(&RestoreReport { delta: delta(false), ..report() });
        assert!(differed.contains("; 12 entries differed, 64 MiB of them overwritten;"), "{differed}");
        assert!(!done(&RestoreReport { delta: delta(true), ..report() }).contains("differed"));
        let paths = RestoreReport { paths: vec!["a".into(), "b/c".into()], ..report() };
        assert!(done(&paths).starts_with("`a`, `b/c` of db-data@42 are in db-data: "));
    }

    #[test]
    fn the_next_thing_to_do_fits_where_it_was_restored_to() {
        let next = |plan: &RestorePlan| End::of(plan).next(&report());
        assert!(!next(&plan(None, None)).contains("undo-restore"));
        assert!(next(&plan(Some("look"), None)).contains("`docker volume rm look`"));
        assert!(next(&plan(None, Some("/rescued"))).contains("from `/rescued`"));
    }

    #[test]
    fn of_several_the_last_line_counts() {
        let one = RestoreReport { health: vec![runs("db", Condition::Healthy)], ..report() };
        let want = "\
2 of 3 sources restored, every byte checked, in 1 min 15 s; started again: db (healthy); next: see whether all is well, \
then back all of it up
";
        assert_eq!(together(&[one, report()], 3, false), want);
        assert!(together(&[report()], 1, true).contains("`backupctl undo-restore SOURCE`"));
    }
}
