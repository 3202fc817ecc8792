//! Answers what a helper asks of the snapshot before, from the store, and fetches ahead of it.
//!
//! Always true: nothing is answered that was not checked against its hash; and what is fetched ahead is a few
//! segments behind the one that was asked for last, and only as long as the helper goes through a table in order.

use std::collections::HashMap;
use std::sync::Arc;

use archive::layout::{BlockRef, Ground, RootRef, SegmentRef, put_root};
use tokio::task::JoinHandle;

use super::reading::{ReadError, Reading};

/// Segments fetched ahead of each table.
const AHEAD: usize = 4;

/// Where a segment lies: pack and offset.
type Place = (u64, u64);

type Fetching = JoinHandle<Result<Vec<u8>, ReadError>>;

/// The answers to one helper.
#[derive(Debug)]
pub struct Answers {
    reading: Arc<Reading>,
    tables: Vec<Table>,
}

/// One root that was asked for, and how far its segments were.
#[derive(Debug)]
struct Table {
    segments: Vec<SegmentRef>,
    /// The segment after the last that was asked for.
    next: usize,
    ahead: HashMap<Place, Fetching>,
}

/// Roots that are remembered: of each of the two tables the current one and the one before.
const TABLES_KEPT: usize = 4;

impl Answers {
    /// From this snapshot.
    pub fn new(reading: Arc<Reading>) -> Self {
        Self { reading, tables: Vec::new() }
    }

    /// The body of a root.
    pub async fn root(&mut self, root: &RootRef) -> Result<Vec<u8>, ReadError> {
        let segments = self.reading.root(root).await?;
        let body = put_root(&segments);
        if self.tables.len() == TABLES_KEPT {
            self.tables.remove(0).stop();
        }
        self.tables.push(Table { segments, next: 0, ahead: HashMap::new() });
        Ok(body)
    }

    /// The rows of a segment, behind those of its ground.
    pub async fn segment(
        &mut self,
        pack: u64,
        block: &BlockRef,
        raw: u32,
        ground: Option<&Ground>,
    ) -> Result<Vec<u8>, ReadError> {
        let place = (pack, block.offset);
        let found = self.tables.iter_mut().rev().find_map(|table| {
            let at = table.segments.iter().position(|s| (s.pack, s.block.offset) == place)?;
            Some((table, at))
        });
        let Some((table, at)) = found else {
            return fetch(&self.reading, pack, block, raw, ground).await;
        };
        table.answer(&self.reading, at).await
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.tables.iter_mut().for_each(Table::stop);
    }
}

impl Table {
    async fn answer(&mut self, reading: &Arc<Reading>, at: usize) -> Result<Vec<u8>, ReadError> {
        let segment = self.segments[at].clone();
        let under_way = self.ahead.remove(&(segment.pack, segment.block.offset));
        if at == self.next {
            self.fetch_ahead(reading, at + 1);
        } else {
            self.stop();
        }
        self.next = at + 1;
        match under_way {
            Some(fetching) => match fetching.await {
                Ok(fetched) => fetched,
                // Only a panic or the end of the program stops it: then it is asked for again, or not at all.
                Err(_stopped) => fetch_segment(reading, &segment).await,
            },
            None => fetch_segment(reading, &segment).await,
        }
    }

    fn fetch_ahead(&mut self, reading: &Arc<Reading>, from: usize) {
        for segment in self.segments.iter().skip(from).take(AHEAD) {
            self.ahead.entry((segment.pack, segment.block.offset)).or_insert_with(|| {
                let (reading, segment) = (Arc::clone(reading), segment.clone());
                tokio::spawn(async move { fetch_segment(&reading, &segment).await })
            });
        }
    }

    fn stop(&mut self) {
        self.ahead.drain().for_each(|(_, fetching)| fetching.abort());
    }
}

async fn fetch_segment(reading: &Reading, at: &SegmentRef) -> Result<Vec<u8>, ReadError> {
    fetch(reading, at.pack, &at.block, at.raw, at.ground.as_ref()).await
}

/// The rows of a segment behind those of its ground.
async fn fetch(
    reading: &Reading,
    pack: u64,
    block: &BlockRef,
    raw: u32,
    ground: Option<&Ground>,
) -> Result<Vec<u8>, ReadError> {
    let (mut below, mut rows) = reading.segment_on_ground(pack, block, raw, ground).await?;
    below.append(&mut rows);
    Ok(below)
}
