//! Backing a folder up: one walk, one pack.
//!
//! Always true: a pack that is reported was written to its last byte; what could not be read is told by
//! path; and failures of the source and of the sink never become each other.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::ahead::NAMES_AHEAD;
use crate::base::Asking;
use crate::channel::{PackJob, Packed, Progress};
use crate::clock;
use crate::clones::Scratch;
use crate::identity::identity;
use crate::names::Names;
use crate::pack_entries::{Found, Packer, Visited};
pub use crate::pack_writer::Sink;
use crate::pack_writer::Written;
use crate::path::TreePath;
use crate::pipeline::{self, WriteError};
use crate::raw_stream::Stopped;
use crate::segment::Table;
use crate::stat::Stat;
use crate::walk::{Step, Walk};

/// Progress is told at most this often.
const PULSE: Duration = Duration::from_millis(200);

/// Why there is no pack.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The root cannot be read, or the system has nothing left to read it with.
    #[error("cannot {action} `{path}` in the source: {source}")]
    Source {
        /// Where, printable.
        path: String,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A table of the snapshot before is not what it should be.
    #[error("cannot read the {table} table of the snapshot before: {why}")]
    Base {
        /// Which of its tables.
        table: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The engine cannot be asked for what only it has: the snapshot before, or a stream.
    #[error("cannot ask the engine: {0}")]
    Unanswered(#[source] io::Error),
    /// The sink took no more.
    #[error("cannot pass the pack on: {0}")]
    Sink(#[source] io::Error),
    /// The compressor could not be started or failed.
    #[error("cannot compress: {0}")]
    Compress(#[source] io::Error),
    /// What the job's scope asks for cannot be had.
    #[error("{0}")]
    Scope(String),
    /// The job is for a moment between two updates.
    #[error("`{0}` is in the middle of an update")]
    Updating(String),
}

/// Why the reading side ended early.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The writing side knows.
    Stopped,
    /// The source failed as a whole.
    Source { path: TreePath, action: &'static str, source: io::Error },
    /// A table of the base makes no sense.
    Base { table: &'static str, why: String },
    /// The engine cannot be asked.
    Unanswered(io::Error),
    /// What the scope asks for is not so.
    Scope(String),
    /// A file is in the middle of an update.
    Updating(TreePath),
    /// A picture cannot be taken, or would not fit. The tree can still be read.
    NoPicture,
}

impl Halt {
    /// What is wrong with a table of the base.
    pub(crate) fn table(table: Table, why: impl ToString) -> Self {
        let table = match table {
            Table::Entries => "entries",
            Table::Pages => "pages",
        };
        Self::Base { table, why: why.to_string() }
    }
}

impl From<Stopped> for Halt {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Reads the tree under `root` into a pack, which goes to `sink` piece by piece from a thread of its own.
///
/// The sink gets at most 4 MiB at a time. Progress is told on the calling thread, at most five times a
/// second. Without an error the pack is complete, though it may lack entries that [`Packed::notes`] names.
///
/// With a base only what is new is in the pack. The base's tables are asked for on the calling thread, too. With a scope
/// there is a pack only if all that it requires is in it.
///
/// With a base, no scope and a scratch folder a picture of the tree is taken first, if it can be: then `still.taken` is
/// called, and the pack is of that moment, whatever becomes of the tree.
pub fn pack(
    root: BorrowedFd<'_>,
    job: &PackJob,
    sink: &mut Sink<'_>,
    ask: &mut Asking<'_>,
    progress: &mut dyn FnMut(&Progress),
    system: System<'_>,
    still: Still<'_>,
) -> Result<Packed, PackError> {
    let clones = still.scratch.cloner.knows;
    if let Some(scope) = &job.scope {
        scope.check(job.base.as_ref()).map_err(PackError::Scope)?;
    }
    let mut pictured = None;
    let (read, written) = pipeline::run(job, sink, |stream| {
        let mut packer = Packer::new(job, stream, ask, Pulse::new(progress), (system.now)());
        pictured = picture(root, &mut packer, system, still)?;
        if pictured.is_none() {
            read_tree(root, &mut packer, system)?;
        }
        packer.finish()
    });
    let Found { totals, notes, writes, mut used, unsynced } = match read {
        Some(Ok(found)) => found,
        Some(Err(Halt::Source { path, action, source })) => {
            return Err(PackError::Source { path: path.to_string(), action, source });
        }
        Some(Err(Halt::Base { table, why })) => return Err(PackError::Base { table, why }),
        Some(Err(Halt::Unanswered(why))) => return Err(PackError::Unanswered(why)),
        Some(Err(Halt::Scope(why))) => return Err(PackError::Scope(why)),
        Some(Err(Halt::Updating(path))) => return Err(PackError::Updating(path.to_string())),
        Some(Err(Halt::Stopped | Halt::NoPicture)) | None => return Err(write_error(written.err())),
    };
    let Written { length, hash, raw_bytes, footer, entries, pages, packs } = match written {
        Ok(Some(written)) => written,
        Ok(None) => return Err(write_error(None)),
        Err(why) => return Err(write_error(Some(why))),
    };
    assert!(
        entries.iter().map(|root| root.rows).sum::<u64>() == totals.entries,
        "BUG: entries table does not hold the entries that were counted"
    );
    for pack in packs {
        used.entry(pack).or_default();
    }
    let identity = pictured.map_or_else(|| identity(root), |Pictured { identity }| identity);
    let clones = clones(root);
    Ok(Packed {
        totals,
        length,
        hash,
        raw_bytes,
        footer,
        entries,
        pages,
        used,
        notes,
        writes,
        identity,
        clones,
        unsynced,
    })
}

fn write_error(why: Option<WriteError>) -> PackError {
    match why {
        Some(WriteError::Sink(why)) => PackError::Sink(why),
        Some(WriteError::Compress(why)) => PackError::Compress(why),
        None => PackError::Compress(io::Error::other("compressing threads ended early")),
    }
}

/// What of the system a pass goes by; a test may say something else.
#[derive(Clone, Copy)]
pub struct System<'a> {
    /// The clock that gives files their times.
    pub now: &'a dyn Fn() -> SystemTime,
    /// Writes out all that the file system of a folder has in memory.
    pub sync: &'a dyn Fn(BorrowedFd<'_>) -> rustix::io::Result<()>,
}

impl System<'static> {
    /// The kernel.
    pub const KERNEL: Self = Self { now: &clock::now, sync: &|folder| rustix::fs::syncfs(folder) };
}

/// What a picture takes.
pub struct Still<'a> {
    /// Where its clones may lie.
    pub scratch: &'a Scratch,
    /// Told once that it is taken.
    pub taken: &'a mut dyn FnMut() -> io::Result<()>,
}

/// What was read of a picture's moment beside the tree: whoever goes on may make another database.
struct Pictured {
    identity: Option<String>,
}

/// Packs a picture of the tree. `None` if none can be taken: then nothing of it is in the pack.
fn picture(
    root: BorrowedFd<'_>,
    packer: &mut Packer<'_>,
    system: System<'_>,
    still: Still<'_>,
) -> Result<Option<Pictured>, Halt> {
    if !packer.begin_picture(still.scratch) {
        return Ok(None);
    }
    match read_tree(root, packer, system) {
        Ok(()) => {
            let identity = identity(root);
            (still.taken)().map_err(Halt::Unanswered)?;
            packer.develop()?;
            Ok(Some(Pictured { identity }))
        }
        Err(Halt::NoPicture) => {
            packer.no_picture();
            Ok(None)
        }
        Err(halt) => Err(halt),
    }
}

fn read_tree(root: BorrowedFd<'_>, packer: &mut Packer<'_>, system: System<'_>) -> Result<(), Halt> {
    let at_root = |action| move |source| Halt::Source { path: TreePath::root(), action, source };
    let folder = open_root(root).map_err(at_root("open"))?;
    // What is written through a shared mapping gets its time only once: the next store after the pages have reached
    // the disk gives a new one. So whatever is stored from here on shows in a file's times. A file
    // system that cannot be synced (read-only, or forbidden to us) has the same content without it. Where the disk failed or
    // is full pages may have stayed dirty, and times say nothing.
    match (system.sync)(folder.as_fd()) {
        Ok(()) | Err(Errno::ROFS | Errno::PERM | Errno::ACCESS | Errno::NOSYS) => {}
        Err(why) => packer.unsynced(&why.into()),
    }
    let stat = Stat::of_open(folder.as_fd()).map_err(at_root("look at"))?;
    packer.begin(folder.as_fd(), &stat)?;
    match packer.places() {
        Some(places) => places.iter().try_for_each(|place| read_place(folder.as_fd(), place, packer)),
        None => {
            packer.root(folder.as_fd(), &stat)?;
            let mut walk = Walk::new(folder, &stat).map_err(at_root("list"))?;
            go(&mut walk, packer)
        }
    }
}

/// Reads what is at one path, and below it. All above it is as the base has it.
fn read_place(root: BorrowedFd<'_>, place: &TreePath, packer: &mut Packer<'_>) -> Result<(), Halt> {
    let Some((parent, name)) = place.split_last() else { return Ok(()) };
    match packer.descend(root, parent)? {
        Some((folder, stat)) => go(&mut Walk::of_one(folder, &stat, parent, name), packer),
        None => Ok(()),
    }
}

fn go(walk: &mut Walk, packer: &mut Packer<'_>) -> Result<(), Halt> {
    while let Some(step) = walk.next() {
        match step {
            Step::Name(path) => visit(walk, packer, path)?,
            Step::TooLong(path, why) => {
                packer.unreadable(&path, format!("the path of an entry in it {why}"));
                walk.pass();
            }
            Step::Lost(path, left, why) => {
                packer.unreadable(&path, format!("{left} entries are lost: {why}"));
            }
        }
    }
    Ok(())
}

/// Opened anew, because a descriptor from outside may be one for looking only, or half read.
fn open_root(root: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(root, c".", flags | OFlags::NOATIME, Mode::empty()) {
        // Not ours, and no capability to leave its access time alone.
        Err(Errno::PERM) => Ok(rustix::fs::openat(root, c".", flags, Mode::empty())?),
        other => Ok(other?),
    }
}

fn visit(walk: &mut Walk, packer: &mut Packer<'_>, path: TreePath) -> Result<(), Halt> {
    if packer.passes_over(&path)? {
        walk.pass();
        return Ok(());
    }
    if packer.ahead.is_worth_it()
        && let Some(upcoming) = walk.upcoming(NAMES_AHEAD)
    {
        packer.ahead.look_at(upcoming);
    }
    let Some((folder, name)) = walk.here() else {
        packer.unreadable(&path, "its folder was lost");
        walk.pass();
        return Ok(());
    };
    match packer.visit(folder, name, &path)? {
        Visited::Passed => walk.pass(),
        Visited::Folder(folder, stat, names) => walk.enter(folder, &stat, &path, names),
    }
    Ok(())
}

/// Lists a folder that is about to be entered.
pub(crate) fn list(folder: BorrowedFd<'_>) -> io::Result<Names> {
    Names::read(folder, |_name| false)
}

/// Tells progress, not too often.
pub(crate) struct Pulse<'a> {
    progress: &'a mut dyn FnMut(&Progress),
    told: Instant,
}

impl<'a> Pulse<'a> {
    pub(crate) fn new(progress: &'a mut dyn FnMut(&Progress)) -> Self {
        Self { progress, told: Instant::now() }
    }

    /// Tells, if it is time to.
    pub(crate) fn beat(&mut self, entries: u64, bytes: u64, path: &TreePath) {
        if self.told.elapsed() >= PULSE {
            self.told = Instant::now();
            (self.progress)(&Progress { entries, bytes, path: path.to_string() });
        }
    }
}
