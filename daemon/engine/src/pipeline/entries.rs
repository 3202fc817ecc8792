//! The entries of a snapshot as a stream in path order, a segment at a time, several on their way.

use std::collections::VecDeque;
use std::sync::Arc;

use archive::entry::Entry;
use archive::layout::{RootRef, SegmentRef};
use archive::path::{self, TreePath};
use archive::segment;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt as _};

use super::reading::{ReadError, Reading};

/// Segments fetched ahead. One is about 128 KiB raw, and bounded however hostile.
const AHEAD: usize = 6;

/// What one segment holds.
#[derive(Debug)]
pub struct Batch {
    /// Its rows as they lie, coded.
    pub raw: Vec<u8>,
    /// The same, read. All of them, also those outside the wanted folder.
    pub entries: Vec<Entry>,
}

type Fetch = BoxFuture<'static, Result<(SegmentRef, Vec<u8>), ReadError>>;

/// A stream of batches.
pub struct Entries {
    reading: Arc<Reading>,
    roots: VecDeque<RootRef>,
    segments: VecDeque<SegmentRef>,
    on_their_way: FuturesOrdered<Fetch>,
    before: Option<TreePath>,
    within: TreePath,
    children_only: bool,
    passed: bool,
}

impl Entries {
    /// Everything at or beneath `within`; the root for all. Segments that cannot hold any of it are not fetched.
    pub fn new(reading: Arc<Reading>, within: TreePath) -> Self {
        let roots = reading.manifest().entries.clone().into();
        Self {
            reading,
            roots,
            segments: VecDeque::new(),
            on_their_way: FuturesOrdered::new(),
            before: None,
            within,
            children_only: false,
            passed: false,
        }
    }

    /// The folder `within` and what lies in it. Segments that hold nothing but what lies deeper are not fetched, so a folder
    /// is listed as fast as it is long, whatever lies beneath it.
    pub fn of_folder(reading: Arc<Reading>, within: TreePath) -> Self {
        Self { children_only: true, ..Self::new(reading, within) }
    }

    /// The next segment that may hold something wanted, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Batch>, ReadError> {
        self.fetch_ahead().await?;
        let Some(fetched) = self.on_their_way.next().await else {
            return Ok(None);
        };
        let (at, raw) = fetched?;
        let pack = self.reading.pack(at.pack)?;
        let entries = segment::entries(&raw)
            .map_err(|e| self.reading.damaged(pack, None, format!("a row of the table: {e}")))?;
        if entries.len() != at.rows as usize || entries.last().map(|entry| &entry.path) != Some(&at.last) {
            return Err(self.reading.damaged(pack, None, "a segment holds other rows than its root says"));
        }
        Ok(Some(Batch { raw, entries }))
    }

    async fn fetch_ahead(&mut self) -> Result<(), ReadError> {
        while self.on_their_way.len() < AHEAD && !self.passed {
            let Some(at) = self.segments.pop_front() else {
                let Some(root) = self.roots.pop_front() else {
                    return Ok(());
                };
                self.segments = self.reading.root(&root).await?.into();
                continue;
            };
            // Across roots too, the order must hold, or rows could be hidden or told twice.
            if self.before.as_ref().is_some_and(|before| *before >= at.last) {
                let pack = self.reading.pack(at.pack)?;
                return Err(self.reading.damaged(pack, None, "its segments are out of order"));
            }
            let begins_after = self.before.replace(at.last.clone());
            if at.last < self.within {
                continue;
            }
            if begins_after
                .as_ref()
                .is_some_and(|before| *before > self.within && !before.is_within(&self.within))
            {
                self.passed = true;
                return Ok(());
            }
            // Both ends lie in one folder of it, and so does all between them.
            let deeper = |before: &TreePath| {
                let (first, last) = (child(&self.within, before), child(&self.within, &at.last));
                first.is_some() && first == last
            };
            if self.children_only && begins_after.as_ref().is_some_and(deeper) {
                continue;
            }
            let reading = Arc::clone(&self.reading);
            self.on_their_way.push_back(Box::pin(async move {
                let raw = reading.segment(&at).await?;
                Ok((at, raw))
            }));
        }
        Ok(())
    }

    /// The entry at exactly `path`, if there is one.
    pub async fn one(reading: Arc<Reading>, path: &TreePath) -> Result<Option<Entry>, ReadError> {
        let mut stream = Self::new(reading, path.clone());
        while let Some(batch) = stream.next().await? {
            let found =
                batch.entries.binary_search_by(|entry| path::compare(entry.path.as_bytes(), path.as_bytes()));
            if let Ok(i) = found {
                return Ok(batch.entries.into_iter().nth(i));
            }
            if batch.entries.last().is_some_and(|last| last.path > *path) {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

/// The name right beneath `folder` on the way to `path`.
fn child<'a>(folder: &TreePath, path: &'a TreePath) -> Option<&'a [u8]> {
    path.is_within(folder).then(|| path.components().nth(folder.components().count()))?
}
