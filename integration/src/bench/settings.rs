//! What a benchmark is asked to do.

use std::path::PathBuf;

use super::tools::Tool;
use super::workloads::Workload;

/// How to use it, for people.
pub const USAGE: &str = "usage: bench [--runs N] [--scale S] [--only WORKLOAD,…] [--tools TOOL,…] [--write FILE]\n       \
                         bench growth [--scale S] [--write FILE]";

/// The parsed command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// By the size of a volume, not beside other tools.
    pub growth: bool,
    /// How often tools run; figures are medians.
    pub runs: u32,
    /// Size of the volumes; 1 is what the documents speak of.
    pub scale: f64,
    /// Which volumes.
    pub only: Vec<Workload>,
    /// Which tools, in the order of the table.
    pub tools: Vec<Tool>,
    /// The document whose marked part becomes the report.
    pub write: Option<PathBuf>,
}

impl Settings {
    fn usual() -> Self {
        Self {
            growth: false,
            runs: 5,
            scale: 1.0,
            only: Workload::ALL.to_vec(),
            tools: Tool::ALL.to_vec(),
            write: None,
        }
    }

    /// Reads the words after the program's name.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut words = words.peekable();
        let growth = words.next_if(|word| word == "growth").is_some();
        let mut settings = Self { growth, ..Self::usual() };
        while let Some(flag) = words.next() {
            let value = words.next().ok_or(USAGE)?;
            match flag.as_str() {
                "--scale" => {
                    settings.scale =
                        value.parse().ok().filter(|s| (0.001..=10.0).contains(s)).ok_or(USAGE)?;
                }
                "--write" => settings.write = Some(value.into()),
                "--runs" if !growth => {
                    settings.runs = value.parse().ok().filter(|n| (1..=25).contains(n)).ok_or(USAGE)?;
                }
                "--only" if !growth => {
                    settings.only = value.split(',').map(workload).collect::<Result<_, _>>()?;
                }
                "--tools" if !growth => {
                    settings.tools = value.split(',').map(Tool::named).collect::<Result<_, _>>()?;
                }
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
        check("--runs 7 --scale 0.1", Ok(Settings { runs: 7, scale: 0.1, ..usual.clone() }));
        check("--tools borg", Ok(Settings { tools: vec![Tool::Borg], ..usual.clone() }));
        check("growth --scale 0.5", Ok(Settings { growth: true, scale: 0.5, ..usual.clone() }));
        check("--only small,sparse", Ok(Settings { only: vec![Workload::Small, Workload::Sparse], ..usual }));
        for bad in [
            "--tools cp",
            "--runs 0",
            "--scale 99",
            "--only huge",
            "--runs",
            "--what 1",
            "growth --runs 3",
            "--scale 1 growth",
        ] {
            check(bad, Err(()));
        }
    }
}
