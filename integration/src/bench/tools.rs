//! The tools that are measured: what each can do, whether it is there, and how often it runs.

use std::io;
use std::process::Command;

use super::workloads::Workload;

/// One tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// Ours.
    Backupctl,
    /// `tar | zstd -3 -T0 | rclone rcat`.
    TarZstd,
    /// `tar | gzip | rclone rcat`.
    TarGzip,
    /// restic.
    Restic,
    /// rustic.
    Rustic,
    /// borg, which knows no S3.
    Borg,
}

impl Tool {
    /// In the order of the table.
    pub const ALL: [Self; 6] =
        [Self::Backupctl, Self::TarZstd, Self::TarGzip, Self::Restic, Self::Rustic, Self::Borg];

    /// The one that people call so.
    pub fn named(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|tool| tool.name() == name)
            .ok_or_else(|| format!("no tool `{name}`; there are {}", Self::ALL.map(Self::name).join(", ")))
    }

    /// As the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Backupctl => "backupctl",
            Self::TarZstd => "tar+zstd",
            Self::TarGzip => "tar+gzip",
            Self::Restic => "restic",
            Self::Rustic => "rustic",
            Self::Borg => "borg",
        }
    }

    /// Whether it knows what it has sent before.
    pub fn is_incremental(self) -> bool {
        !matches!(self, Self::TarZstd | Self::TarGzip)
    }

    /// Whether it sends to a server.
    pub fn speaks_s3(self) -> bool {
        self != Self::Borg
    }

    /// How often it runs where ours does `runs` times. What takes long and tells nothing new the second time is
    /// measured once: gzip, borg, and the others on images.
    pub fn runs(self, workload: Workload, runs: u32) -> u32 {
        let images = matches!(workload, Workload::Sparse | Workload::Dense);
        match self {
            Self::Backupctl => runs,
            Self::TarGzip | Self::Borg => 1,
            Self::TarZstd | Self::Restic | Self::Rustic if images => 1,
            Self::TarZstd | Self::Restic | Self::Rustic => runs,
        }
    }

    /// Its name and version as it tells them; `None` if there is nothing to ask.
    pub fn version(self) -> io::Result<Option<String>> {
        let word = match self {
            Self::Backupctl | Self::TarZstd | Self::TarGzip => return Ok(None),
            Self::Restic => "version",
            Self::Rustic | Self::Borg => "--version",
        };
        let told = Command::new(self.name()).arg(word).output().map_err(|e| {
            io::Error::new(
                e.kind(),
                format!("`{}` does not start: {e}; `make bench` installs it", self.name()),
            )
        })?;
        Ok(Some(first_words(&String::from_utf8_lossy(&told.stdout))))
    }

    /// Whether it may be left out: Debian has no rustic.
    pub fn is_missing(self) -> bool {
        self == Self::Rustic && self.version().is_err()
    }
}

/// `restic 0.14.0` of `restic 0.14.0 compiled with …`.
fn first_words(told: &str) -> String {
    told.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_words() {
        assert_eq!(first_words("restic 0.14.0 compiled with go1.19.8 on linux/amd64\n"), "restic 0.14.0");
        assert_eq!(first_words(""), "");
    }

    #[test]
    fn what_takes_long_runs_once() {
        for (tool, workload, want) in [
            (Tool::Backupctl, Workload::Sparse, 5),
            (Tool::Borg, Workload::Small, 1),
            (Tool::Restic, Workload::Dense, 1),
            (Tool::TarZstd, Workload::Random, 5),
            (Tool::TarGzip, Workload::Random, 1),
        ] {
            assert_eq!(tool.runs(workload, 5), want, "{tool:?} on {workload:?}");
        }
    }
}
