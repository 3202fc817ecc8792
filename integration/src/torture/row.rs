//! What came out of a recipe, as a row of the table.

use super::recipe::Recipe;
use crate::databases::Verdict;
use crate::databases::cycle::{Cut, Cycle};

/// After a killed backup everybody writes again so soon.
const SECONDS_AFTER_A_KILL: f64 = 5.0;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The recipe.
    pub name: &'static str,
    /// Done.
    pub cycles: u32,
    /// What checkers complained of, or the ledger missed.
    pub complaints: Vec<String>,
    /// How many numbers had to be there.
    pub acknowledged: u64,
    /// Of one cycle, in seconds.
    pub longest_freeze: f64,
    /// Of one cycle, in seconds.
    pub longest_backup: f64,
    /// Naive copies, and how many of them were bad.
    pub controls: (u32, u32),
    /// Killed backups, and how many of them held somebody.
    pub kills: (u32, u32),
    /// Kills that were due and came when nobody was held, however often they were repeated, where somebody is to be.
    pub missed: u32,
    /// Until all ran again, in seconds.
    pub longest_thaw: f64,
    has_control: bool,
}

impl Row {
    /// With nothing done.
    pub fn new(recipe: &Recipe) -> Self {
        Self { name: recipe.name, has_control: recipe.has_control, ..Self::default() }
    }

    /// One more cycle, with so many numbers of its own.
    pub fn add(&mut self, cycle: &Cycle, acknowledged: u64) {
        self.cycles += 1;
        self.acknowledged += acknowledged;
        self.longest_freeze = self.longest_freeze.max(cycle.freeze_seconds);
        self.longest_backup = self.longest_backup.max(cycle.seconds);
        self.complaints.extend(cycle.verdict.clone().err());
    }

    /// One more naive copy.
    pub fn add_control(&mut self, verdict: &Verdict) {
        self.controls.0 += 1;
        self.controls.1 += u32::from(verdict.is_err());
    }

    /// One more killed backup.
    pub fn add_cut(&mut self, cut: &Cut) {
        self.kills.0 += 1;
        self.kills.1 += u32::from(cut.held);
        self.longest_thaw = self.longest_thaw.max(cut.seconds);
    }

    /// As a line of the table.
    fn line(&self) -> String {
        let Self { name, cycles, acknowledged, longest_freeze, controls, kills, longest_thaw, .. } = self;
        let (copies, bad) = if self.has_control {
            (controls.0.to_string(), controls.1.to_string())
        } else {
            (String::new(), String::new())
        };
        format!(
            "| {name} | {cycles} | {} | {acknowledged} | {longest_freeze:.2} s | {copies} | {bad} | {} | {} | {longest_thaw:.1} s |",
            self.complaints.len(),
            kills.0,
            kills.1
        )
    }

    /// What is not as it should be.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.complaints.clone();
        if self.longest_thaw > SECONDS_AFTER_A_KILL {
            faults.push(format!("it took {:.1} s until all ran again", self.longest_thaw));
        }
        if self.missed > 0 {
            faults.push(format!("{} of its kills came at no time when somebody was held", self.missed));
        }
        if self.has_control && self.controls.0 > 0 && self.controls.1 == 0 {
            faults.push(format!("none of {} naive copies was found to be bad", self.controls.0));
        }
        faults.iter().map(|fault| format!("{}: {fault}", self.name)).collect()
    }
}

/// Of all recipes in this order, the rows that there are now; and of those that were not done, the lines of an earlier
/// table.
pub fn table(conditions: &str, order: &[&str], rows: &[Row], earlier: &str) -> String {
    let mut out = format!(
        "{conditions}\n\n| | cycles | complaints | numbers that had to be there | longest freeze | naive copies | of these bad | killed backups | of these held somebody | longest until all wrote again |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for name in order {
        let now = rows.iter().find(|row| row.name == *name).map(Row::line);
        let before = || earlier.lines().find(|line| line.starts_with(&format!("| {name} |")));
        if let Some(line) = now.or_else(|| before().map(str::to_owned)) {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_and_a_control_that_finds_nothing_are_faults() {
        let mut row = Row { name: "x", has_control: true, ..Row::default() };
        assert_eq!(row.faults(), Vec::<String>::new());
        row.add_control(&Ok(()));
        assert_eq!(row.faults(), ["x: none of 1 naive copies was found to be bad"]);
        row.add_control(&Err("broken".to_owned()));
        assert_eq!(row.faults(), Vec::<String>::new());
        row.add_cut(&Cut { held: true, seconds: 5.5 });
        row.complaints.push("sums differ".to_owned());
        row.missed = 2;
        let missed = "x: 2 of its kills came at no time when somebody was held";
        assert_eq!(row.faults(), ["x: sums differ", "x: it took 5.5 s until all ran again", missed]);
        let earlier = "| x | 7 |\n| gone | 7 |\n| z | 8 |\n";
        let table = table("y", &["z", "new", "x"], &[row], earlier);
        assert!(
            table.ends_with("| z | 8 |\n| x | 0 | 1 | 0 | 0.00 s | 2 | 1 | 1 | 1 | 5.5 s |\n"),
            "{table}"
        );
    }
}
