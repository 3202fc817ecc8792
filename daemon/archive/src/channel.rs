//! What the engine and the helper say to each other.
//!
//! Both sides send **records**: one byte of kind, four bytes of length (little endian), the payload. The
//! helper speaks first:
//!
//! ```text
//! helper  Hello                       both sides must speak the same protocol
//! engine  Job                         one job for a helper's life
//! Pack    helper: Bytes* Progress* Ask* … then Done(Packed) or Failed; engine: one Answer to each Ask
//! Unpack  engine: Rows* Frame* … then End; helper: Progress* … then Done(Unpacked) or Failed
//! Untar   engine: Bytes* … then End; helper: Progress* … then Done(Untarred) or Failed
//! Compare engine: Rows* then End; helper: Done(Compared) or Failed
//! Delta   helper: Progress* Ask* …, engine: one Answer to each Ask; helper: Differing; then, unless it is too much, helper:
//!         Rows* that it wants filled, the last one empty; engine: Frame* … then End; helper: Done(Logged) or Failed
//! others  helper: Done(..) or Failed
//! ```
//!
//! **The end of a stream is a fact that is sent, never one that is inferred.** A closed channel without
//! `Done` (or without `End` in the other direction) is a failure, whatever the exit status says: a dying
//! container engine closes channels politely. `Done` carries the length and hash of all `Bytes` before it.

mod delta_job;
mod frame_record;
mod notes;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::delta_job::{DeltaJob, Differing, Logged};
pub use self::frame_record::{FrameRecord, Piece, put_frame, read_frame};
pub(crate) use self::notes::cut_message;
pub use self::notes::{Note, NoteKind, Notes, printable_path};
use crate::base::Base;
use crate::frame::Hash;
use crate::layout::{BlockRef, RootRef, hex_hash};
use crate::levels::Levels;
use crate::path::TreePath;
use crate::scope::Scope;
use crate::varint::Malformed;

/// Both sides must agree on it before anything else happens. 2: a [`Scope`], which who does not know it would pass over.
/// 3: streams that are planted, and [`Job::Untar`]. 4: places, to compare and to swap single paths. 5: pictures.
/// 6: [`PackJob::between_updates`].
pub const PROTOCOL: u32 = 6;

/// No record is larger; checked before memory is taken.
pub const RECORD_BYTES_MAX: u32 = 32 << 20;

/// No `Frame` payload is larger, so that a helper's queue stays small. A frame with more pieces than fit is
/// sent twice, each time with some of them.
pub const FRAME_PAYLOAD_MAX: usize = 4 << 20;

/// Kind and length.
pub const RECORD_HEADER_BYTES: usize = 5;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// [`Hello`] as JSON, from the helper.
    Hello = 1,
    /// [`Job`] as JSON, from the engine.
    Job = 2,
    /// The next bytes of the pack, from the helper; of a foreign archive, from the engine.
    Bytes = 3,
    /// [`Progress`] as JSON, from the helper, a few times a second at most.
    Progress = 4,
    /// The answer to the job as JSON, from the helper; the last record.
    Done = 5,
    /// [`Failed`] as JSON, from the helper; the last record.
    Failed = 6,
    /// Rows of entries to create, coded as in a segment ([`crate::row`]), from the engine; of a delta restore from the
    /// helper, which then says what it wants.
    Rows = 7,
    /// A stored frame and where its bytes go, as [`put_frame`] writes it, from the engine.
    Frame = 8,
    /// [`End`] as JSON, from the engine: all rows and frames were sent, or all bytes.
    End = 9,
    /// [`crate::base::Ask`] as JSON, from the helper, which waits for the answer.
    Ask = 10,
    /// What was asked for, from the engine.
    Answer = 11,
    /// [`Differing`] as JSON, from the helper, which asks for nothing more.
    Differing = 12,
    /// Nothing, from the helper: what the source is from here on makes no difference to the pack.
    Pictured = 13,
}

impl RecordKind {
    /// From the byte on the wire.
    pub fn parse(byte: u8) -> Result<Self, Malformed> {
        Ok(match byte {
            1 => Self::Hello,
            2 => Self::Job,
            3 => Self::Bytes,
            4 => Self::Progress,
            5 => Self::Done,
            6 => Self::Failed,
            7 => Self::Rows,
            8 => Self::Frame,
            9 => Self::End,
            10 => Self::Ask,
            11 => Self::Answer,
            12 => Self::Differing,
            13 => Self::Pictured,
            _ => return Err(Malformed("unknown record")),
        })
    }
}

/// The first record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the helper.
    pub protocol: u32,
    /// Its version, for people.
    pub version: String,
}

/// What a helper is asked to do with the one folder it sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Say what the folder is like, change nothing. Answer: [`Looked`].
    Look,
    /// Say how the folder differs from the rows that come. Answer: [`crate::compare::Compared`].
    Compare(CompareJob),
    /// Read the folder into a pack. Answer: [`Packed`].
    Pack(PackJob),
    /// Create what rows and frames say. Answer: [`Unpacked`].
    Unpack(UnpackJob),
    /// Make of a foreign archive, which comes as bytes, the content of the folder. Answer: [`Untarred`].
    Untar(UntarJob),
    /// Find out in what the folder differs from a snapshot, and log beside it what makes it equal. Answer: [`Logged`].
    Delta(DeltaJob),
    /// Swap in what `Unpack` staged for this run, or carry out what `Delta` logged, or finish what was cut off of
    /// either. Answer: [`Swapped`].
    Swap(SwapJob),
    /// Remove what was staged or logged for this run, if its swap has not begun; what was recalled goes back. Answer:
    /// [`Swapped`].
    Discard {
        /// The run that staged it.
        run: String,
    },
    /// Leave what was unpacked for this run to a restore that goes on with it, if its swap has not begun and it is worth it.
    /// Answer: its bytes; 0 if nothing was left, and then `Discard` follows.
    Leave {
        /// The run that unpacked it.
        run: String,
        /// Less than this is not worth it.
        least_bytes: u64,
    },
    /// Remove what a restore that was cut off left. Answer: whether there was something.
    RemoveUnfinished,
    /// Say what restores have kept here, counted. Answer: a list of [`Kept`].
    Kept,
    /// Stage what a restore kept, for a `Swap`. Answer: true.
    Recall(RecallJob),
    /// Remove what a restore kept. Answer: whether there was something.
    Forget {
        /// The run that kept it.
        run: String,
    },
}

/// Settings of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackJob {
    /// The new pack's id, which the extents carry.
    pub pack: u64,
    /// zstd levels.
    pub levels: Levels,
    /// Compressing threads.
    pub workers: u32,
    /// What to compare with; without it the pack is a complete tarball.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Which part of the folder it is about, if not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Box<Scope>>,
    /// Whoever writes is held, and may be in the middle of an update of an RRD file: then there is no pack.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub between_updates: bool,
}

/// What a backup pass found, as counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// All entries, the root among them.
    pub entries: u64,
    /// Regular files, further names apart.
    pub files: u64,
    /// Apparent bytes of these.
    pub bytes: u64,
    /// Bytes of these that are no holes.
    pub data_bytes: u64,
}

/// The trailer of a backup: only with it may the snapshot be committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// What was found.
    pub totals: Totals,
    /// Length of the pack: all bytes that were sent. Zero if nothing is new: then there is no pack.
    pub length: u64,
    /// BLAKE3 of them.
    #[serde(with = "hex_hash")]
    pub hash: Hash,
    /// Length of the raw content stream.
    pub raw_bytes: u64,
    /// Where the footer lies.
    pub footer: BlockRef,
    /// The entries table.
    pub entries: Vec<RootRef>,
    /// The pages table, which the next incremental pass compares with.
    #[serde(default)]
    pub pages: Vec<RootRef>,
    /// Every pack that extents or tables name, and how many bytes of its raw content the extents need.
    #[serde(default)]
    pub used: BTreeMap<u64, u64>,
    /// What changed, vanished or could not be read.
    pub notes: Notes,
    /// How often somebody was seen to write while the pass read: content that changed, a name that vanished or came to stand
    /// for something else. A change of attributes alone is none.
    #[serde(default)]
    pub writes: u64,
    /// Which database the folder holds, as `KIND:ID`, if it holds one that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// A helper that has a place beside the folder may take a picture of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clones: bool,
    /// Why the file system could not write out what it has in memory. Then no file was passed over because of its times, and
    /// none will be by the rows of this pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsynced: Option<String>,
}

/// Settings of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpackJob {
    /// The run, which names the staging folder.
    pub run: String,
    /// Writing threads.
    pub workers: u32,
    /// Where the tree goes.
    pub into: Target,
    /// With [`Target::Staging`], what of the folder the tree is to replace; all of it if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<TreePath>,
}

/// Settings of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CompareJob {
    /// Only what lies at or beneath these; all if empty.
    pub places: Vec<TreePath>,
}

/// Where a restored tree goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The folder itself, which must be empty.
    Empty,
    /// A staging folder inside it; a [`Job::Swap`] follows.
    Staging,
}

/// What of a foreign archive is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UntarJob {
    /// Only what lies beneath this, which becomes the root.
    pub beneath: TreePath,
    /// So many folders in front of what is left are taken off.
    pub strip: u32,
}

/// What an archive is wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrapping {
    /// In nothing.
    None,
    /// In gzip.
    Gzip,
    /// In zstd.
    Zstd,
}

/// What was made of a foreign archive, which was whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untarred {
    /// What was created.
    pub totals: Totals,
    /// What could not be carried.
    pub notes: Notes,
    /// All members of the archive, those that were not wanted among them.
    pub members: u64,
    /// What it was wrapped in.
    pub wrapping: Wrapping,
}

/// The end of a restore stream, or of a foreign archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Rows that were sent; none of a foreign archive.
    pub entries: u64,
    /// File bytes, holes apart, that the frames were to fill; or all bytes of the archive.
    pub data_bytes: u64,
}

/// What a restore wrote. Everything is on the disk (synced) when this is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// What was created.
    pub totals: Totals,
    /// Attributes that the file system did not take.
    pub notes: Notes,
}

/// Settings of a swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapJob {
    /// The run that staged the new content.
    pub run: String,
    /// Keep what was there before, in `.backupd-previous-<run>`, from where it can be recalled.
    pub keep_previous: bool,
}

/// What became of a swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swapped {
    /// Whether the new content is in place.
    pub swapped: bool,
    /// The folder that holds what was there before, if it was kept; or what is left of that, if it could not be removed.
    pub previous: Option<String>,
}

/// Settings of the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecallJob {
    /// The run that goes back.
    pub run: String,
    /// The run that kept what was there before it.
    pub kept: String,
}

/// What a restore kept of the content that it replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The run that kept it.
    pub run: String,
    /// All of it is there, so it can come back.
    pub whole: bool,
    /// When it was kept, in seconds since 1970.
    pub kept_at: i64,
    /// All entries but the root; 0 where nobody counted.
    pub entries: u64,
    /// Bytes that it takes on the disk; 0 where nobody counted.
    pub bytes: u64,
    /// The paths that it is of, printable; none if it is of all of the folder.
    pub places: Vec<String>,
}

/// What a folder is like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// Entries at the top, ours apart.
    pub top_entries: u64,
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Inodes that may still be made; `None` where the file system does not count them.
    pub free_inodes: Option<u64>,
    /// Mounted read-only.
    pub read_only: bool,
    /// Runs whose staging folder lies here, and whether their swap has begun.
    pub staged: Vec<StagedRun>,
    /// When a restore that was cut off left here what it had, in seconds since 1970; `None` if none did.
    pub unfinished_at: Option<i64>,
    /// What restores have kept here, not counted, oldest first.
    pub kept: Vec<Kept>,
    /// Numeric owner of the folder.
    pub uid: u32,
    /// Numeric group of the folder.
    pub gid: u32,
    /// The name of a file in which a server notes its version, and what it says; `None` where there is none.
    pub version: Option<(String, String)>,
}

/// A staging folder that was left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedRun {
    /// The run that made it.
    pub run: String,
    /// Its swap began, so it must be finished forwards.
    pub swapping: bool,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Entries so far.
    pub entries: u64,
    /// File bytes so far, holes among them.
    pub bytes: u64,
    /// What is being read or written, printable.
    pub path: String,
}

/// The helper could not do its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// What failed and why, one line.
    pub message: String,
    /// Which kind, for exit codes and hints.
    pub cause: FailedCause,
}

/// Why a job failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedCause {
    /// The source could not be read, or the target not be written.
    Tree,
    /// No space or no inodes left on the target.
    Full,
    /// The target is mounted read-only.
    ReadOnly,
    /// Rows or frames that no honest backup contains.
    Hostile,
    /// A frame does not hash to what was stored.
    Damaged,
    /// A file was asked for between two updates, and is in the middle of one.
    Updating,
    /// The target is not empty, or a staging folder is in the way.
    Occupied,
    /// The other side broke the protocol, or closed the channel.
    Channel,
}

/// Writes one record.
pub fn write_record(out: &mut impl Write, kind: RecordKind, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    assert!(length <= RECORD_BYTES_MAX, "BUG: record over {RECORD_BYTES_MAX} bytes");
    let mut header = [0; RECORD_HEADER_BYTES];
    header[0] = kind as u8;
    header[1..].copy_from_slice(&length.to_le_bytes());
    out.write_all(&header)?;
    out.write_all(payload)
}

/// Writes one record with a JSON payload.
pub fn write_json(out: &mut impl Write, kind: RecordKind, message: &impl Serialize) -> io::Result<()> {
    write_record(out, kind, &serde_json::to_vec(message).map_err(io::Error::other)?)
}

/// Reads one record into `payload`; a channel that ends is an error.
pub fn read_record(input: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<RecordKind> {
    let mut header = [0; RECORD_HEADER_BYTES];
    input.read_exact(&mut header)?;
    let (kind, length) = parse_header(&header).map_err(io::Error::other)?;
    payload.clear();
    payload.resize(length, 0);
    input.read_exact(payload)?;
    Ok(kind)
}

/// Kind and length from a record's header.
pub fn parse_header(header: &[u8; RECORD_HEADER_BYTES]) -> Result<(RecordKind, usize), Malformed> {
    let kind = RecordKind::parse(header[0])?;
    let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    if length > RECORD_BYTES_MAX {
        return Err(Malformed("record over 32 MiB"));
    }
    Ok((kind, length as usize))
}

/// Reads a JSON payload.
pub fn parse_json<T: DeserializeOwned>(payload: &[u8]) -> io::Result<T> {
    serde_json::from_slice(payload).map_err(io::Error::other)
}
