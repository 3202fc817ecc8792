//! A table as it grows: segments gathered into roots, which are cut where the paths say, as segments are.
//!
//! Always true: roots list all segments in the order in which they came, and the memory for them is one root
//! that is not full yet.

use std::collections::{BTreeSet, HashMap};

use crate::base::Base;
use crate::frame::Hash;
use crate::layout::{RootRef, SEGMENTS_PER_ROOT, SegmentRef};
use crate::segment::Table;

/// No cut before this many segments.
const CUT_FROM: usize = 256;

/// One last path in this many is a cut.
const CUT_ONE_IN: u32 = 256;

/// A root is full at this many bytes of paths too, so that its block stays readable.
const PATH_BYTES_MAX: usize = 4 << 20;

/// The roots of one table.
#[derive(Default)]
pub(crate) struct TableWriter {
    segments: Vec<SegmentRef>,
    path_bytes: usize,
    pub(crate) roots: Vec<RootRef>,
    /// Every pack that a segment, its ground or a root lies in.
    pub(crate) packs: BTreeSet<u64>,
    /// Roots that need not be written again, by the hash of their block.
    base: HashMap<Hash, RootRef>,
}

impl TableWriter {
    pub(crate) fn new(table: Table, base: Option<&Base>) -> Self {
        let Some(base) = base else { return Self::default() };
        let roots = match table {
            Table::Entries => &base.entries,
            Table::Pages => &base.pages,
        };
        let usable = roots.iter().filter(|root| !base.shun.contains(&root.pack));
        Self { base: usable.map(|root| (root.block.hash, root.clone())).collect(), ..Self::default() }
    }

    /// The next segment; true if the root is full then.
    pub(crate) fn push(&mut self, segment: SegmentRef) -> bool {
        self.packs.insert(segment.pack);
        self.packs.extend(segment.ground.map(|ground| ground.pack));
        let path = segment.last.as_bytes();
        self.path_bytes += path.len();
        let hash = blake3::hash(path);
        self.segments.push(segment);
        // The first four bytes decided where the segment ends, and are all alike here.
        let [_, _, _, _, a, b, c, d, ..] = *hash.as_bytes();
        let cuts = u32::from_le_bytes([a, b, c, d]).is_multiple_of(CUT_ONE_IN);
        self.segments.len() == SEGMENTS_PER_ROOT
            || self.path_bytes >= PATH_BYTES_MAX
            || (self.segments.len() >= CUT_FROM && cuts)
    }

    /// The segments of the root that is due, if there are any.
    pub(crate) fn take(&mut self) -> Option<Vec<SegmentRef>> {
        self.path_bytes = 0;
        Some(std::mem::take(&mut self.segments)).filter(|segments| !segments.is_empty())
    }

    /// Whether the base has this very root; then it is the next one.
    pub(crate) fn point(&mut self, block: &[u8]) -> bool {
        let Some(root) = self.base.get(blake3::hash(block).as_bytes()) else { return false };
        self.packs.insert(root.pack);
        self.roots.push(root.clone());
        true
    }

    /// A root that was written.
    pub(crate) fn written(&mut self, root: RootRef) {
        self.packs.insert(root.pack);
        self.roots.push(root);
    }
}
