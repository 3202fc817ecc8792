//! Tables of a snapshot that were fetched before they are needed.
//!
//! Always true: memory is bounded, and what does not fit is fetched when it is asked for, as if this were not there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Stored bytes of tables that are kept: of some million files.
const BYTES_MAX: usize = 64 << 20;

/// Blocks, by pack and offset.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Blocks>);

#[derive(Debug, Default)]
struct Blocks {
    by_place: HashMap<(u64, u64), Bytes>,
    bytes: usize,
}

impl Kept {
    pub(super) fn get(&self, pack: u64, offset: u64) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).by_place.get(&(pack, offset)).cloned()
    }

    /// Keeps a block; whether there is room for more.
    pub(super) fn put(&self, pack: u64, offset: u64, block: &Bytes) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + block.len() > BYTES_MAX {
            return false;
        }
        // A copy: a slice of a larger buffer would keep all of it.
        if kept.by_place.insert((pack, offset), Bytes::copy_from_slice(block)).is_none() {
            kept.bytes += block.len();
        }
        true
    }
}
