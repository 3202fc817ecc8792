//! Reads a snapshot's tables and frames from the store, and believes nothing before it was checked.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use archive::frame::{Decoder, FRAME_BYTES, FrameError, FrameRow};
use archive::layout::{
    BLOCK_BYTES_MAX, BlockRef, FRAMES_PER_LIST, Footer, Ground, RootRef, SegmentRef, Tag, block_body,
    read_frame_list, read_root,
};
use archive::segment;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};

use super::kept::Kept;
use crate::format::manifest::{Manifest, PackRef};
use crate::format::names::Lineage;
use crate::port::store::{ReadStore, StoreError, StoreErrorKind};

/// Frame lists kept in memory: 64 of them are 6 MiB and stand for 128 GiB of content.
const LISTS_KEPT: usize = 64;

/// Tables fetched at once, where all are wanted soon.
const FETCHED_AT_ONCE: usize = 8;

/// What is in the store is not what was put there, or cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store did not give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It gave something else.
    #[error("`{object}` is damaged{}: {what}", place(*.frame))]
    Damaged {
        /// The object's key.
        object: String,
        /// The frame within it, if it is one.
        frame: Option<u64>,
        /// How it shows.
        what: String,
    },
}

fn place(frame: Option<u64>) -> String {
    frame.map(|n| format!(" at frame {n}")).unwrap_or_default()
}

impl ReadError {
    /// Whether the object itself is bad or gone, so that fetching again will not help.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Store(e) => matches!(e.kind, StoreErrorKind::NotFound | StoreErrorKind::Garbled),
        }
    }
}

type FrameList = Arc<Vec<FrameRow>>;

/// One snapshot, opened for reading.
#[derive(Debug)]
pub struct Reading {
    store: Arc<dyn ReadStore>,
    lineage: Lineage,
    manifest: Manifest,
    footers: Mutex<HashMap<u64, Arc<Footer>>>,
    lists: Mutex<HashMap<(u64, usize), FrameList>>,
    kept: Kept,
}

impl Reading {
    /// Of a manifest whose signature was checked.
    pub fn new(store: Arc<dyn ReadStore>, lineage: Lineage, manifest: Manifest) -> Self {
        let (footers, lists, kept) = Default::default();
        Self { store, lineage, manifest, footers, lists, kept }
    }

    /// What is read.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it is read from.
    pub fn store(&self) -> &Arc<dyn ReadStore> {
        &self.store
    }

    /// The pack with that id.
    pub fn pack(&self, id: u64) -> Result<&PackRef, ReadError> {
        self.manifest.packs.iter().find(|pack| pack.id == id).ok_or_else(|| ReadError::Damaged {
            object: self.lineage.manifest(self.manifest.number),
            frame: None,
            what: format!("pack {id} is used and not listed"),
        })
    }

    /// The pack's key in the store.
    pub fn key(&self, pack: &PackRef) -> String {
        format!("{}{}", self.lineage.prefix(), pack.name)
    }

    /// Something in this pack is not what it should be.
    pub fn damaged(&self, pack: &PackRef, frame: Option<u64>, what: impl Into<String>) -> ReadError {
        ReadError::Damaged { object: self.key(pack), frame, what: what.into() }
    }

    async fn block(&self, pack: &PackRef, at: &BlockRef) -> Result<Bytes, ReadError> {
        let end = at.offset.checked_add(u64::from(at.length)).filter(|end| *end <= pack.length);
        let Some(end) = end.filter(|_| at.length > 0 && at.length <= BLOCK_BYTES_MAX) else {
            return Err(self.damaged(pack, None, "a table lies outside the pack"));
        };
        let bytes = match self.kept.get(pack.id, at.offset) {
            Some(kept) => kept,
            None => self.store.get_range(&self.key(pack), at.offset..end).await?,
        };
        if !at.matches(&bytes) {
            return Err(self.damaged(pack, None, format!("the table at byte {} has other bytes", at.offset)));
        }
        Ok(bytes)
    }

    /// Where the frames of a pack are.
    pub async fn footer(&self, pack: &PackRef) -> Result<Arc<Footer>, ReadError> {
        if let Some(known) = self.footers.lock().unwrap_or_else(PoisonError::into_inner).get(&pack.id) {
            return Ok(Arc::clone(known));
        }
        let bytes = self.block(pack, &pack.footer).await?;
        let footer = block_body(Tag::Footer, &bytes)
            .and_then(Footer::read)
            .map_err(|e| self.damaged(pack, None, format!("its footer {e}")))?;
        if footer.raw_bytes != pack.raw_bytes {
            return Err(self.damaged(pack, None, "footer and manifest disagree on its length"));
        }
        let footer = Arc::new(footer);
        self.footers.lock().unwrap_or_else(PoisonError::into_inner).insert(pack.id, Arc::clone(&footer));
        Ok(footer)
    }

    /// One frame list of a pack, its rows checked against the pack's bounds.
    pub async fn frame_list(&self, pack: &PackRef, list: usize) -> Result<Arc<Vec<FrameRow>>, ReadError> {
        if let Some(known) = self.lists.lock().unwrap_or_else(PoisonError::into_inner).get(&(pack.id, list)) {
            return Ok(Arc::clone(known));
        }
        let footer = self.footer(pack).await?;
        let at = footer.lists.get(list).ok_or_else(|| self.damaged(pack, None, "no such frame list"))?;
        let bytes = self.block(pack, at).await?;
        let rows = block_body(Tag::FrameList, &bytes)
            .and_then(read_frame_list)
            .map_err(|e| self.damaged(pack, None, format!("a frame list {e}")))?;
        let first = list as u64 * FRAMES_PER_LIST as u64;
        let expected = (footer.frames() - first).min(FRAMES_PER_LIST as u64);
        if rows.len() as u64 != expected {
            return Err(self.damaged(pack, None, "a frame list is of a wrong length"));
        }
        for (row, frame) in rows.iter().zip(first..) {
            let raw = (footer.raw_bytes - frame * FRAME_BYTES as u64).min(FRAME_BYTES as u64);
            let end = row.offset.checked_add(u64::from(row.stored));
            if u64::from(row.raw) != raw || row.stored == 0 || end.is_none_or(|end| end > pack.length) {
                return Err(self.damaged(pack, Some(frame), "its row is out of bounds"));
            }
        }
        let rows = Arc::new(rows);
        let mut kept = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= LISTS_KEPT {
            kept.clear();
        }
        kept.insert((pack.id, list), Arc::clone(&rows));
        Ok(rows)
    }

    /// Where one frame is.
    pub async fn frame(&self, pack: &PackRef, frame: u64) -> Result<FrameRow, ReadError> {
        let per_list = FRAMES_PER_LIST as u64;
        let outside = || self.damaged(pack, Some(frame), "is beyond the end of the pack");
        let list = usize::try_from(frame / per_list).map_err(|_over| outside())?;
        let rows = self.frame_list(pack, list).await?;
        let within = usize::try_from(frame % per_list).map_err(|_over| outside())?;
        rows.get(within).copied().ok_or_else(outside)
    }

    /// The stored bytes of a run of the pack.
    pub async fn range(&self, pack: &PackRef, range: Range<u64>) -> Result<Bytes, ReadError> {
        Ok(self.store.get_range(&self.key(pack), range).await?)
    }

    /// Fetches the tables now, as far as they fit into memory, so that nobody waits for the store when they are asked for.
    pub async fn keep_tables(&self) -> Result<(), ReadError> {
        for root in self.manifest.entries.iter().chain(&self.manifest.pages) {
            if !self.keep(root.pack, &root.block).await? {
                return Ok(());
            }
            let segments = self.root(root).await?;
            let mut kept = stream::iter(segments)
                .map(|segment| async move { self.keep_segment(&segment).await })
                .buffer_unordered(FETCHED_AT_ONCE);
            while let Some(kept) = kept.next().await {
                if !kept? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// With what it is a difference from, or it could not be read without the store.
    async fn keep_segment(&self, segment: &SegmentRef) -> Result<bool, ReadError> {
        if let Some(ground) = &segment.ground
            && !self.keep(ground.pack, &ground.block).await?
        {
            return Ok(false);
        }
        self.keep(segment.pack, &segment.block).await
    }

    async fn keep(&self, pack: u64, at: &BlockRef) -> Result<bool, ReadError> {
        let bytes = self.block(self.pack(pack)?, at).await?;
        Ok(self.kept.put(pack, at.offset, &bytes))
    }

    /// The segments that a root lists.
    pub async fn root(&self, root: &RootRef) -> Result<Vec<SegmentRef>, ReadError> {
        let pack = self.pack(root.pack)?;
        let bytes = self.block(pack, &root.block).await?;
        let segments = block_body(Tag::Root, &bytes)
            .and_then(read_root)
            .map_err(|e| self.damaged(pack, None, format!("a root {e}")))?;
        let rows: u64 = segments.iter().map(|segment| u64::from(segment.rows)).sum();
        if segments.len() != root.segments as usize || rows != root.rows {
            return Err(self.damaged(pack, None, "a root lists other segments than the manifest says"));
        }
        Ok(segments)
    }

    /// The raw rows of one segment.
    pub async fn segment(&self, at: &SegmentRef) -> Result<Vec<u8>, ReadError> {
        Ok(self.segment_on_ground(at.pack, &at.block, at.raw, at.ground.as_ref()).await?.1)
    }

    /// The same of a segment that is known by its place, behind the rows that it is a difference from, if it is one.
    pub async fn segment_on_ground(
        &self,
        pack: u64,
        at: &BlockRef,
        raw: u32,
        ground: Option<&Ground>,
    ) -> Result<(Vec<u8>, Vec<u8>), ReadError> {
        let pack = self.pack(pack)?;
        let Some(Ground { pack: below, block, raw: below_raw }) = ground else {
            let bytes = self.block(pack, at).await?;
            return Ok((Vec::new(), self.rows(pack, bytes, raw, None).await?.1));
        };
        let below = self.pack(*below)?;
        let (bytes, below_bytes) = tokio::try_join!(self.block(pack, at), self.block(below, block))?;
        let (_, below) = self.rows(below, below_bytes, *below_raw, None).await?;
        let (below, rows) = self.rows(pack, bytes, raw, Some(below)).await?;
        Ok((below.unwrap_or_default(), rows))
    }

    /// Decodes a segment off the async threads; gives back the rows that it is a difference from, too.
    async fn rows(
        &self,
        pack: &PackRef,
        bytes: Bytes,
        raw: u32,
        ground: Option<Vec<u8>>,
    ) -> Result<(Option<Vec<u8>>, Vec<u8>), ReadError> {
        let decoded = tokio::task::spawn_blocking(move || {
            let mut decoder = Decoder::new().map_err(|e| e.to_string())?;
            let rows = segment::read_block(&mut decoder, &bytes, raw, ground.as_deref());
            rows.map(|rows| (ground, rows)).map_err(|e| e.to_string())
        });
        match decoded.await {
            Ok(Ok(decoded)) => Ok(decoded),
            Ok(Err(why)) => Err(self.damaged(pack, None, why)),
            Err(stopped) => Err(self.damaged(pack, None, format!("decoding stopped: {stopped}"))),
        }
    }

    /// Decodes a stored frame and checks its hash, off the async threads.
    pub async fn decode(
        &self,
        pack: &PackRef,
        frame: u64,
        row: FrameRow,
        stored: Bytes,
    ) -> Result<Vec<u8>, ReadError> {
        let decoded = tokio::task::spawn_blocking(move || {
            let mut decoder = Decoder::new().map_err(|e| FrameError::Decode(e.to_string()))?;
            decoder.decode(&stored, row.raw, &row.hash)
        });
        match decoded.await {
            Ok(Ok(raw)) => Ok(raw),
            Ok(Err(e)) => Err(self.damaged(pack, Some(frame), e.to_string())),
            Err(stopped) => Err(self.damaged(pack, Some(frame), format!("decoding stopped: {stopped}"))),
        }
    }
}
