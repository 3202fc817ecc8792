//! A snapshot's entries as members of a tarball, for exports whose content lies in many packs.
//!
//! Always true: the members of all entries in path order, then [`END`], are the tarball that a full pack of the
//! same tree holds, byte for byte.

use crate::entry::{Entry, Extent, Kind};
use crate::pax::{self, Body};
use crate::sparse::{Region, map_text};

/// What ends a tarball.
pub const END: [u8; 1024] = pax::END;

/// One entry of a tarball.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What comes before the content: headers, and the map of a sparse file. Empty for a socket.
    pub head: Vec<u8>,
    /// The content: extents without the holes.
    pub content: Vec<Extent>,
    /// So many zeros follow it.
    pub padding: usize,
}

/// The member of an entry.
pub fn member(entry: &Entry) -> Member {
    let (regions, data_bytes, size) = match &entry.kind {
        Kind::File { size, content } => (regions(content), data_bytes(content), *size),
        Kind::Folder
        | Kind::Symlink { .. }
        | Kind::Hardlink { .. }
        | Kind::Fifo
        | Kind::CharDevice { .. }
        | Kind::BlockDevice { .. }
        | Kind::Socket => (None, 0, 0),
    };
    let map = regions.map(|regions| map_text(&regions, size));
    let body = match &map {
        None => Body::Plain { size },
        Some(map) => Body::Sparse { stored: map.len() as u64 + data_bytes, size },
    };
    let mut head = Vec::new();
    pax::put_headers(&mut head, &mut Vec::new(), entry, body);
    head.extend(map.into_iter().flatten());
    let content = match &entry.kind {
        Kind::File { content, .. } => {
            content.iter().filter(|extent| matches!(extent, Extent::Stored { .. })).copied().collect()
        }
        Kind::Folder
        | Kind::Symlink { .. }
        | Kind::Hardlink { .. }
        | Kind::Fifo
        | Kind::CharDevice { .. }
        | Kind::BlockDevice { .. }
        | Kind::Socket => Vec::new(),
    };
    Member { head, content, padding: pax::padding(data_bytes) }
}

/// Where a file has data, if it has holes at all.
fn regions(content: &[Extent]) -> Option<Vec<Region>> {
    if !content.iter().any(|extent| matches!(extent, Extent::Hole { .. })) {
        return None;
    }
    let mut regions: Vec<Region> = Vec::new();
    let mut at = 0;
    for extent in content {
        let length = extent.length();
        if matches!(extent, Extent::Stored { .. }) {
            match regions.last_mut().filter(|last| last.start + last.length == at) {
                Some(last) => last.length += length,
                None => regions.push(Region { start: at, length }),
            }
        }
        at += length;
    }
    Some(regions)
}

fn data_bytes(content: &[Extent]) -> u64 {
    let stored = content.iter().filter(|extent| matches!(extent, Extent::Stored { .. }));
    stored.map(Extent::length).sum()
}
