//! What we mean to reach beside the others, and whether the figures say that we do.
//!
//! Pure: results in, verdicts out. A ratio is rounded up to two digits before it is compared, so that no row shows
//! a number that contradicts its verdict.

use super::results::{Figure, Results};
use super::tools::Tool;
use super::workloads::Workload;

/// Kibibytes and mebibytes, in bytes.
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

/// What a figure of ours must not exceed.
#[derive(Debug, Clone, Copy)]
enum Reach {
    /// A share of the same figure of the best of these tools.
    Share(f64, &'static [Tool]),
    /// So many units.
    Units(f64, &'static str, f64),
}

/// One row, before it is known.
#[derive(Debug, Clone, Copy)]
struct Target {
    what: &'static str,
    figure: Figure,
    reach: Reach,
}

/// One row, decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What is compared.
    pub what: String,
    /// What we mean to reach.
    pub reach: String,
    /// What was measured; `None` if one of the two was not.
    pub measured: Option<String>,
    /// Whether it is reached.
    pub met: bool,
}

impl Verdict {
    /// The last column.
    fn word(&self) -> &'static str {
        match (&self.measured, self.met) {
            (None, _) => "not measured",
            (Some(_), true) => "met",
            (Some(_), false) => "**missed**",
        }
    }
}

const RESTIC: &[Tool] = &[Tool::Restic];
const RUSTIC: &[Tool] = &[Tool::Rustic];
const TAR: &[Tool] = &[Tool::TarZstd];
const FASTER: &[Tool] = &[Tool::Restic, Tool::Rustic];

/// What is the same for every volume.
const EVERYWHERE: [Target; 10] = [
    share("nothing changed, time", Figure::Unchanged, 0.5, FASTER),
    units("nothing changed, sent", Figure::UnchangedSent, 16.0, "KiB", KIB),
    share("back up, time", Figure::BackUp, 0.75, TAR),
    share("back up, time", Figure::BackUp, 0.45, RESTIC),
    share("restore, time", Figure::Restore, 0.45, RESTIC),
    share("restore, time", Figure::Restore, 0.65, RUSTIC),
    share("restore, time", Figure::Restore, 0.8, TAR),
    share("one file, time", Figure::One, 0.3, RESTIC),
    share("one file, fetched", Figure::OneFetched, 1.0, RESTIC),
    units("peak memory, helper and all", Figure::Peak, 256.0, "MiB", MIB),
];

const fn share(what: &'static str, figure: Figure, of: f64, tools: &'static [Tool]) -> Target {
    Target { what, figure, reach: Reach::Share(of, tools) }
}

const fn units(what: &'static str, figure: Figure, most: f64, unit: &'static str, bytes: f64) -> Target {
    Target { what, figure, reach: Reach::Units(most, unit, bytes) }
}

/// What a day of changes may cost, which depends on what a day does: bytes to restic's, time to the faster one's.
fn of_changes(workload: Workload) -> Vec<Target> {
    let (sent, time) = match workload {
        Workload::Database => (0.15, 0.30),
        Workload::Metrics => (0.10, 0.35),
        Workload::Small => (0.6, 0.6),
        Workload::Random => (1.0, 0.5),
        Workload::Sparse | Workload::Dense => return Vec::new(),
    };
    vec![
        share("what changed, sent", Figure::ChangedSent, sent, RESTIC),
        share("what changed, time", Figure::Changed, time, FASTER),
    ]
}

/// All rows of a volume.
pub fn verdicts(workload: Workload, results: &Results) -> Vec<Verdict> {
    let targets = of_changes(workload).into_iter().chain(EVERYWHERE);
    targets.map(|target| decide(target, results)).collect()
}

fn decide(target: Target, results: &Results) -> Verdict {
    let ours = results.median(Tool::Backupctl, target.figure);
    match target.reach {
        Reach::Share(of, tools) => {
            let theirs = tools.iter().filter_map(|tool| results.median(*tool, target.figure));
            let best = theirs.min_by(f64::total_cmp).filter(|best| *best > 0.0);
            let names = tools.iter().map(|tool| tool.name()).collect::<Vec<_>>().join(" and ");
            let whose = if tools.len() > 1 { format!("the faster of {names}") } else { names };
            // A median against one run is not the same as against another median.
            let is_once = tools.iter().any(|tool| results.runs(*tool) == 1);
            let is_once = is_once && results.runs(Tool::Backupctl) > 1;
            let whose = if is_once { format!("{whose}, run once") } else { whose };
            let share = ours.zip(best).map(|(ours, best)| rounded_up(ours / best));
            Verdict {
                what: target.what.to_owned(),
                reach: format!("{of:.2} of {whose}"),
                measured: share.map(|share| format!("{share:.2}")),
                met: share.is_some_and(|share| share <= of),
            }
        }
        Reach::Units(most, unit, bytes) => {
            at_most(target.what, ours.map(|ours| rounded_up(ours / bytes)), most, unit)
        }
    }
}

/// What the container of a helper may cost, and did.
pub fn helper_seconds(measured: f64) -> Verdict {
    at_most("helper container", Some(rounded_up(measured)), 0.5, "s")
}

/// How long a bare machine may take from the start of a restore until it writes, and did.
pub fn first_byte_seconds(measured: f64) -> Verdict {
    at_most("first byte restored on a new machine", Some(rounded_up(measured)), 2.0, "s")
}

/// What a restore of only what differs may cost beside one of everything: seconds and bytes of both.
pub fn delta(what: &str, ours: (f64, f64), whole: (f64, f64)) -> [Verdict; 2] {
    let row = |figure: &str, most: f64, share: f64| {
        let share = (share.is_finite()).then(|| rounded_up(share));
        Verdict {
            what: format!("`--delta`, {what}, {figure}"),
            reach: format!("{most:.2} of all of it"),
            measured: share.map(|share| format!("{share:.2}")),
            met: share.is_some_and(|share| share <= most),
        }
    };
    [row("time", 0.35, ours.0 / whole.0), row("fetched", 0.10, ours.1 / whole.1)]
}

fn at_most(what: &str, measured: Option<f64>, most: f64, unit: &str) -> Verdict {
    Verdict {
        what: what.to_owned(),
        reach: format!("{most} {unit}"),
        measured: measured.map(|measured| format!("{measured:.2} {unit}")),
        met: measured.is_some_and(|measured| measured <= most),
    }
}

/// Up to two digits. What is a billionth too much is the noise of dividing.
fn rounded_up(value: f64) -> f64 {
    (value * 100.0 - 1e-7).ceil() / 100.0
}

/// The rows as a table.
pub fn table(verdicts: &[Verdict]) -> String {
    let rows = verdicts.iter().map(|verdict| {
        let measured = verdict.measured.as_deref().unwrap_or("-");
        format!("| {} | {} | {measured} | {} |\n", verdict.what, verdict.reach, verdict.word())
    });
    format!("| what | reach | measured | |\n| --- | --- | ---: | --- |\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(figures: &[(Tool, Figure, f64)]) -> Results {
        let mut results = Results::default();
        figures.iter().for_each(|(tool, figure, value)| results.note(*tool, *figure, *value));
        results
    }

    /// The one row that these figures say something about: measured, and whether it is met.
    #[track_caller]
    fn check(workload: Workload, figures: &[(Tool, Figure, f64)], reach: &str, want: (&str, bool)) {
        let rows = verdicts(workload, &results(figures));
        let row = rows.iter().find(|row| row.measured.is_some() && row.reach == reach);
        let row = row.unwrap_or_else(|| panic!("no `{reach}` in {rows:?}"));
        assert_eq!((row.measured.as_deref().unwrap(), row.met), want, "{row:?}");
    }

    #[test]
    fn a_row_says_where_a_median_stands_against_one_run() {
        use Figure::BackUp;
        use Tool::{Backupctl, Restic};
        let ours = [(Backupctl, BackUp, 4.0), (Backupctl, BackUp, 5.0), (Backupctl, BackUp, 6.0)];
        let once = [&ours[..], &[(Restic, BackUp, 10.0)]].concat();
        check(Workload::Dense, &once, "0.45 of restic, run once", ("0.50", false));
        let twice = [&once[..], &[(Restic, BackUp, 30.0)]].concat();
        check(Workload::Dense, &twice, "0.45 of restic", ("0.25", true));
        check(Workload::Dense, &[ours[0], once[3]], "0.45 of restic", ("0.40", true));
    }

    #[test]
    fn a_share_is_of_the_best_that_was_measured() {
        use Figure::{Changed, ChangedSent};
        use Tool::{Backupctl, Restic, Rustic};
        let sent = |ours| [(Backupctl, ChangedSent, ours), (Restic, ChangedSent, 200.0)];
        check(Workload::Database, &sent(30.0), "0.15 of restic", ("0.15", true));
        check(Workload::Database, &sent(30.1), "0.15 of restic", ("0.16", false));
        check(Workload::Metrics, &sent(20.0), "0.10 of restic", ("0.10", true));
        check(Workload::Random, &sent(200.0), "1.00 of restic", ("1.00", true));

        let faster = "0.30 of the faster of restic and rustic";
        let both = [(Backupctl, Changed, 1.0), (Restic, Changed, 10.0), (Rustic, Changed, 2.0)];
        check(Workload::Database, &both, faster, ("0.50", false));
        check(Workload::Database, &both[..2], faster, ("0.10", true));
    }

    #[test]
    fn a_delta_is_a_share_of_the_whole() {
        let [time, bytes] = delta("here", (0.7, 70.0), (2.0, 500.0));
        assert_eq!((time.measured.as_deref(), time.met), (Some("0.35"), true));
        assert_eq!((bytes.measured.as_deref(), bytes.met), (Some("0.14"), false));
        assert!(delta("here", (0.0, 0.0), (0.0, 0.0)).iter().all(|row| row.measured.is_none() && !row.met));
    }

    #[test]
    fn a_size_is_a_size() {
        let sent = |bytes| [(Tool::Backupctl, Figure::UnchangedSent, bytes)];
        check(Workload::Sparse, &sent(16_384.0), "16 KiB", ("16.00 KiB", true));
        check(Workload::Sparse, &sent(16_385.0), "16 KiB", ("16.01 KiB", false));
        let peak = [(Tool::Backupctl, Figure::Peak, 90.0 * MIB)];
        check(Workload::Dense, &peak, "256 MiB", ("90.00 MiB", true));
    }

    #[test]
    fn a_row_is_there_even_if_nothing_was_measured() {
        for workload in Workload::ALL {
            let rows = verdicts(workload, &Results::default());
            let changes = !matches!(workload, Workload::Sparse | Workload::Dense);
            assert_eq!(rows.len(), 10 + if changes { 2 } else { 0 }, "{workload:?}");
            assert!(rows.iter().all(|row| row.word() == "not measured" && !row.met));
        }
    }

    #[test]
    fn a_missed_row_says_so() {
        assert_eq!([2.0, 2.01].map(|took| first_byte_seconds(took).met), [true, false]);
        let rows = [helper_seconds(0.2), helper_seconds(0.501)];
        let table = table(&rows);
        assert!(table.ends_with(
            "| helper container | 0.5 s | 0.20 s | met |\n| helper container | 0.5 s | 0.51 s | **missed** |\n"
        ));
    }
}
