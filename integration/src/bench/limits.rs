//! Yardsticks: the parts of a backup and of a restore, each alone on the same volume, by the usual tools.
//!
//! The ratio to the slowest of them says how much there may be left to gain. It is no limit: who compresses at another
//! level than `zstd -3`, or writes files in another way than `written` does, can be faster. The parts share the cores, so a
//! ratio of one is hard to reach where two of them want the processor.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use rustix::fs::SeekFrom;

use super::measure::run;
use super::results::median;
use super::server::{Server, ServerKind, folder_in_memory};
use super::volumes::Target;
use crate::docker::Docker;

/// More runs than this tell nothing new.
pub const RUNS_MAX: u32 = 3;

const PIECE_BYTES: usize = 1 << 20;

/// One part, alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// `tar | zstd -3 -T0` into nothing.
    Compress,
    /// As many bytes as we sent, to the server.
    Put,
    /// The files, out of the page cache.
    Read,
    /// `zstd -d` on every core.
    Expand,
    /// As many bytes as we fetched, from the server.
    Get,
    /// The files, onto the disk.
    Write,
}

impl Limit {
    const OF_BACKUP: [Self; 3] = [Self::Compress, Self::Put, Self::Read];
    const OF_RESTORE: [Self; 3] = [Self::Expand, Self::Get, Self::Write];

    /// As the table calls what binds.
    fn name(self) -> &'static str {
        match self {
            Self::Compress => "zstd",
            Self::Put | Self::Get => "server",
            Self::Read => "page cache",
            Self::Expand => "zstd -d",
            Self::Write => "disk",
        }
    }
}

/// What each part took, in seconds, as often as it was measured.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    seconds: BTreeMap<Limit, Vec<f64>>,
}

impl Limits {
    /// Measures every part once: of the volume at `place`, of which we sent and fetched so many bytes.
    pub fn measure(&mut self, docker: &Docker, place: &Path, sent: u64, fetched: u64) -> io::Result<()> {
        self.note(Limit::Read, seconds(|| on_every_core(place, read))?);
        let pipe = |after: &str| {
            format!(r#"tar -C "$1" --format=posix --xattrs --sparse -c . | zstd -q -3 -T0 {after}"#)
        };
        self.note(Limit::Compress, shell(&pipe("> /dev/null"), &[place.as_os_str()])?);
        let memory = folder_in_memory()?;
        let tarball = memory.path().join("tar.zst");
        shell(&pipe(r#"> "$2""#), &[place.as_os_str(), tarball.as_os_str()])?;
        let cores = cores()?;
        let script = r#"for _ in $(seq "$2"); do zstd -dcq "$1" > /dev/null & done; wait"#;
        let all = shell(script, &[tarball.as_os_str(), cores.to_string().as_ref()])?;
        #[expect(clippy::cast_precision_loss, reason = "there are few cores")]
        self.note(Limit::Expand, all / cores as f64);
        drop(memory);
        let (put, get) = Server::start(ServerKind::Ours)?.bare_seconds(sent, fetched)?;
        self.note(Limit::Put, put);
        self.note(Limit::Get, get);
        self.note(Limit::Write, written(docker, place)?);
        Ok(())
    }

    fn note(&mut self, limit: Limit, seconds: f64) {
        self.seconds.entry(limit).or_default().push(seconds);
    }

    fn median(&self, limit: Limit) -> Option<f64> {
        self.seconds.get(&limit).and_then(|seconds| median(seconds.clone()))
    }

    /// The table: each part, which one binds, and how far we are from it. Nothing if nothing was measured.
    pub fn table(&self, back_up: Option<f64>, restore: Option<f64>) -> String {
        let rows = [("back up", Limit::OF_BACKUP, back_up), ("restore", Limit::OF_RESTORE, restore)];
        let rows = rows.into_iter().filter_map(|(deed, limits, ours)| self.row(deed, limits, ours?));
        let rows: String = rows.collect();
        if rows.is_empty() {
            return rows;
        }
        format!(
            "| alone | zstd, s | server, s | files, s | binds | backupctl, s | to what binds |\n\
             | --- | ---: | ---: | ---: | --- | ---: | ---: |\n{rows}"
        )
    }

    fn row(&self, deed: &str, limits: [Limit; 3], ours: f64) -> Option<String> {
        let mut seconds = Vec::new();
        for limit in limits {
            seconds.push((limit, self.median(limit)?));
        }
        let (binds, most) = *seconds.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let cells: Vec<_> = seconds.iter().map(|(_, seconds)| format!("{seconds:.2}")).collect();
        Some(format!(
            "| {deed} | {} | {} | {ours:.2} | {:.2} |\n",
            cells.join(" | "),
            binds.name(),
            ours / most
        ))
    }
}

fn cores() -> io::Result<usize> {
    Ok(thread::available_parallelism()?.get())
}

fn seconds(work: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

fn shell(script: &str, arguments: &[&OsStr]) -> io::Result<f64> {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script, "bash"]).args(arguments);
    Ok(run(&mut command, None)?.wall.as_secs_f64())
}

/// Writes files with the lengths and holes of those at `place` into a new volume, until the disk has them.
fn written(docker: &Docker, place: &Path) -> io::Result<f64> {
    let target = Target::new(docker)?;
    let into = target.make()?;
    // What others have yet to write is not waited for with this.
    rustix::fs::sync();
    seconds(|| {
        on_every_core(place, |file, piece| {
            let below = file.strip_prefix(place).map_err(io::Error::other)?;
            write(file, &into.join(below), piece)
        })?;
        Ok(rustix::fs::syncfs(File::open(&into)?)?)
    })
}

/// Does something with every regular file below a folder, on all cores.
fn on_every_core(folder: &Path, work: impl Fn(&Path, &mut [u8]) -> io::Result<()> + Sync) -> io::Result<()> {
    let cores = cores()?;
    let mut files = Vec::new();
    list(folder, &mut files)?;
    thread::scope(|scope| {
        let (files, work) = (&files, &work);
        let workers: Vec<_> = (0..cores)
            .map(|first| {
                scope.spawn(move || {
                    let mut piece = vec![0; PIECE_BYTES];
                    files.iter().skip(first).step_by(cores).try_for_each(|file| work(file, &mut piece))
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().map_err(|_panic| io::Error::other("BUG: a worker panicked"))?
        })
    })
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => list(&entry.path(), files)?,
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    Ok(())
}

fn read(file: &Path, piece: &mut [u8]) -> io::Result<()> {
    let from = File::open(file)?;
    for (mut at, end) in data_of(&from)? {
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(piece.len());
            from.read_exact_at(&mut piece[..length], at)?;
            at += length as u64;
        }
    }
    Ok(())
}

fn write(like: &Path, file: &Path, piece: &mut [u8]) -> io::Result<()> {
    let into = match (File::create_new(file), file.parent()) {
        (Err(e), Some(folder)) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            File::create_new(file)?
        }
        (made, _) => made?,
    };
    let like = File::open(like)?;
    into.set_len(like.metadata()?.len())?;
    for (mut at, end) in data_of(&like)? {
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(piece.len());
            into.write_all_at(&piece[..length], at)?;
            at += length as u64;
        }
    }
    Ok(())
}

/// Where a file is no hole.
fn data_of(file: &File) -> io::Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let begin = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            Err(rustix::io::Errno::NXIO) => return Ok(found),
            Err(e) => return Err(e.into()),
        };
        at = rustix::fs::seek(file, SeekFrom::Hole(begin))?;
        found.push((begin, at));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    #[test]
    fn the_slowest_part_binds() {
        let mut limits = Limits::default();
        for (limit, seconds) in
            [(Limit::Compress, 4.0), (Limit::Put, 1.0), (Limit::Read, 0.5), (Limit::Compress, 2.0)]
        {
            limits.note(limit, seconds);
        }
        let table = limits.table(Some(4.5), Some(1.0));
        assert!(table.ends_with("|\n| back up | 3.00 | 1.00 | 0.50 | zstd | 4.50 | 1.50 |\n"), "{table}");
        assert_eq!(Limits::default().table(Some(1.0), Some(1.0)), "");
    }

    #[test]
    fn files_are_written_like_their_models() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("a")).unwrap();
        let mut file = File::create(from.path().join("a/b")).unwrap();
        file.set_len(8 << 20).unwrap();
        file.seek(std::io::SeekFrom::Start(4 << 20)).unwrap();
        file.write_all(&vec![1; 3_000_000]).unwrap();
        File::create(from.path().join("empty")).unwrap();
        on_every_core(from.path(), read).unwrap();
        on_every_core(from.path(), |file, piece| {
            write(file, &to.path().join(file.strip_prefix(from.path()).unwrap()), piece)
        })
        .unwrap();
        let (old, new) = (from.path().join("a/b"), to.path().join("a/b"));
        assert_eq!(data_of(&File::open(old).unwrap()).unwrap(), data_of(&File::open(&new).unwrap()).unwrap());
        assert_eq!(fs::metadata(new).unwrap().len(), 8 << 20);
        assert_eq!(fs::metadata(to.path().join("empty")).unwrap().len(), 0);
    }
}
