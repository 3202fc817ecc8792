//! What was measured, and the middle of it.

use std::collections::BTreeMap;

use super::tools::Tool;

/// One figure of one tool on one volume; seconds or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Backing up what the tool sees for the first time.
    BackUp,
    /// Restoring all.
    Restore,
    /// Restoring one file.
    One,
    /// Backing up to SeaweedFS.
    SeaweedFs,
    /// Sent for the backup.
    Sent,
    /// Fetched for the one file.
    OneFetched,
    /// The most memory of all.
    Peak,
    /// Backing up after a day of changes.
    Changed,
    /// Backing up when nothing changed.
    Unchanged,
    /// Sent for the changes.
    ChangedSent,
    /// Sent for nothing.
    UnchangedSent,
}

/// All figures of all tools on one volume, as often as each was measured.
#[derive(Debug, Clone, Default)]
pub struct Results {
    values: BTreeMap<(Tool, Figure), Vec<f64>>,
}

impl Results {
    /// Adds what one run gave.
    pub fn note(&mut self, tool: Tool, figure: Figure, value: f64) {
        self.values.entry((tool, figure)).or_default().push(value);
    }

    /// The median of the runs; `None` of what was not measured.
    pub fn median(&self, tool: Tool, figure: Figure) -> Option<f64> {
        self.values.get(&(tool, figure)).and_then(|values| median(values.clone()))
    }

    /// How often a tool ran.
    pub fn runs(&self, tool: Tool) -> usize {
        self.values.get(&(tool, Figure::BackUp)).map_or(0, Vec::len)
    }

    /// The tools that ran.
    pub fn tools(&self) -> Vec<Tool> {
        Tool::ALL.into_iter().filter(|tool| self.runs(*tool) > 0).collect()
    }
}

/// The middle of the values, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match (n, n % 2) {
        (0, _) => None,
        (_, 1) => Some(values[n / 2]),
        _ => Some(f64::midpoint(values[n / 2 - 1], values[n / 2])),
    }
}

/// A number of bytes, for figures.
#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
pub fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_the_middle() {
        for (values, want) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![9.0, 1.0, 2.0], Some(2.0)),
            (vec![1.0, 4.0], Some(2.5)),
        ] {
            assert_eq!(median(values.clone()), want, "{values:?}");
        }
    }

    #[test]
    fn only_what_ran_is_told_of() {
        let mut results = Results::default();
        results.note(Tool::Restic, Figure::BackUp, 2.0);
        results.note(Tool::Restic, Figure::BackUp, 4.0);
        assert_eq!(results.tools(), [Tool::Restic]);
        assert_eq!((results.runs(Tool::Restic), results.runs(Tool::Borg)), (2, 0));
        assert_eq!(results.median(Tool::Restic, Figure::BackUp), Some(3.0));
        assert_eq!(results.median(Tool::Restic, Figure::Peak), None);
    }
}
