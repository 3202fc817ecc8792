//! What a benchmark is asked to do.

use std::path::PathBuf;

use super::peers::Tool;
use super::workloads::Workload;

/// How to use it, for people.
pub const USAGE: &str =
    "usage: bench [--runs N] [--scale S] [--only WORKLOAD,…] [--tools TOOL,…] [--write FILE]";

/// The parsed command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How often each tool runs; figures are medians.
    pub runs: u32,
    /// Size of the volumes; 1 is what the documents speak of.
    pub scale: f64,
    /// Which volumes.
    pub only: Vec<Workload>,
    /// Which tools, in the order of the table.
    pub tools: Vec<Tool>,
    /// The document whose marked part becomes the table.
    pub write: Option<PathBuf>,
}

impl Settings {
    fn usual() -> Self {
        Self { runs: 3, scale: 1.0, only: Workload::ALL.to_vec(), tools: Tool::ALL.to_vec(), write: None }
    }

    /// Reads the words after the program's name.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut settings = Self::usual();
        let mut words = words;
        while let Some(flag) = words.next() {
            let value = words.next().ok_or(USAGE)?;
            match flag.as_str() {
                "--runs" => {
                    settings.runs = value.parse().ok().filter(|n| (1..=25).contains(n)).ok_or(USAGE)?;
                }
                "--scale" => {
                    settings.scale =
                        value.parse().ok().filter(|s| (0.001..=10.0).contains(s)).ok_or(USAGE)?;
                }
                "--only" => settings.only = value.split(',').map(workload).collect::<Result<_, _>>()?,
                "--tools" => {
                    settings.tools = value.split(',').map(Tool::named).collect::<Result<_, _>>()?;
                }
                "--write" => settings.write = Some(value.into()),
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(settings)
    }
}

fn workload(name: &str) -> Result<Workload, String> {
    let all = Workload::ALL;
    all.into_iter().find(|workload| workload.name() == name).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|workload| workload.name()).collect();
        format!("no workload `{name}`; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: Result<Settings, ()>) {
        let got = Settings::parse(line.split_whitespace().map(str::to_owned));
        assert_eq!(got.map_err(|_why| ()), want, "{line}");
    }

    #[test]
    fn settings_are_checked_where_they_come_in() {
        let usual = Settings::usual();
        check("", Ok(usual.clone()));
        check("--runs 5 --scale 0.1", Ok(Settings { runs: 5, scale: 0.1, ..usual.clone() }));
        check("--only small,sparse", Ok(Settings { only: vec![Workload::Small, Workload::Sparse], ..usual }));
        for bad in ["--tools cp", "--runs 0", "--scale 99", "--only huge", "--runs", "--what 1"] {
            check(bad, Err(()));
        }
    }
}
