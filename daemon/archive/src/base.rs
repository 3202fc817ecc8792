//! What an incremental pass leans on: the snapshot before, as its tables say.
//!
//! The job names the roots. The helper asks for what it needs of the tables while it walks, and the engine, which
//! has the store, answers with what it has checked: so neither holds a table in memory, and nothing is fetched
//! that nobody compares with.

mod chunks;
mod entries;
mod pages;
mod tables;

use std::collections::BTreeSet;
use std::io;

use serde::{Deserialize, Serialize};

pub(crate) use self::chunks::ChunkMap;
pub(crate) use self::entries::{EntriesBase, Met, Old};
pub(crate) use self::pages::{Kept, PagesBase};
pub(crate) use self::tables::{Segments, Tables};
use crate::layout::{BlockRef, Ground, RootRef};
use crate::path::TreePath;

/// The snapshot that a pass compares with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Base {
    /// Its entries table.
    pub entries: Vec<RootRef>,
    /// Its pages table.
    pub pages: Vec<RootRef>,
    /// Packs that the new snapshot must not need: their content and tables are stored anew.
    pub shun: BTreeSet<u64>,
    /// Files are read even if all that the kernel says of them is as it was.
    pub reread: bool,
}

/// One question of the helper. One at a time; the answer's payload is a table's bytes, checked and decoded. Before those
/// of a segment that is a difference stand the rows that it is a difference from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The body of a root, as [`crate::layout::read_root`] reads it.
    Root(RootRef),
    /// The raw rows of a segment.
    Segment {
        /// The pack it lies in.
        pack: u64,
        /// Where.
        block: BlockRef,
        /// Length of its rows.
        raw: u32,
        /// What it is a difference from.
        ground: Option<Ground>,
    },
    /// The next bytes of the stream that is planted at this path: a whole chunk of them. Fewer are the last, and only of
    /// a stream that has ended as it should.
    Stream(TreePath),
}

/// Answers what a pass asks for, or says why the engine cannot be asked.
pub type Asking<'a> = dyn FnMut(&Ask) -> io::Result<Vec<u8>> + 'a;
