//! Packs in memory, and the shortest way to read one back: tail, footer, frame lists, roots, segments.

#![allow(clippy::disallowed_methods, reason = "file times come from the system's clock")]
#![allow(dead_code, reason = "each test file uses its part of this")]
#![allow(unreachable_pub, reason = "shared between test binaries by `mod`")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use archive::base::Ask;
use archive::channel::{PackJob, Packed};
use archive::clones::Scratch;
use archive::entry::Entry;
use archive::frame::{Decoder, FRAME_BYTES, FrameRow};
use archive::layout::{
    BlockRef, FRAMES_PER_LIST, Footer, TAIL_BYTES, Tag, block_body, read_frame_list, read_root, read_tail,
};
use archive::levels::Levels;
use archive::pack::{PackError, Still, System, pack};
use archive::segment;
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};

pub const JOB: PackJob = PackJob {
    pack: 42,
    levels: Levels::Fixed(1),
    workers: 2,
    base: None,
    scope: None,
    between_updates: false,
};

/// Packs a folder; `hook` sees each piece before it is taken.
pub fn try_pack(
    root: &Path,
    job: &PackJob,
    mut hook: impl FnMut(&[u8]) -> std::io::Result<()> + Send,
) -> Result<(Vec<u8>, Packed), PackError> {
    let folder = rustix::fs::open(root, OFlags::PATH, Mode::empty()).unwrap();
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let mut sink = |piece: &[u8]| {
        hook(piece)?;
        bytes.lock().unwrap().extend_from_slice(piece);
        Ok(())
    };
    let mut ask = |ask: &Ask| Err(std::io::Error::other(format!("a full pack asks for {ask:?}")));
    let still = Still { scratch: &Scratch::NONE, taken: &mut || unreachable!("nowhere to take it") };
    let packed = pack(folder.as_fd(), job, &mut sink, &mut ask, &mut |_| {}, System::KERNEL, still)?;
    let bytes = std::mem::take(&mut *bytes.lock().unwrap());
    Ok((bytes, packed))
}

/// Packs a folder that nobody touches.
pub fn pack_folder(root: &Path) -> (Vec<u8>, Packed) {
    try_pack(root, &JOB, |_| Ok(())).unwrap()
}

/// A pack, read and checked whole.
pub struct Opened {
    pub frames: Vec<FrameRow>,
    pub raw: Vec<u8>,
    pub entries: Vec<Entry>,
}

/// Reads a pack by its own tables, checking every promise that these make.
pub fn open(bytes: &[u8], packed: &Packed) -> Opened {
    assert_eq!(bytes.len() as u64, packed.length);
    assert_eq!(blake3::hash(bytes).as_bytes(), &packed.hash);
    assert_eq!(bytes[..4], 0xFD2F_B528_u32.to_le_bytes(), "begins with a content frame");
    let block = |at: &BlockRef, tag| {
        let start = usize::try_from(at.offset).unwrap();
        let bytes = &bytes[start..start + at.length as usize];
        assert!(at.matches(bytes), "hash of a block");
        block_body(tag, bytes).unwrap()
    };
    let footer_ref = read_tail(&bytes[bytes.len() - TAIL_BYTES..]).unwrap();
    assert_eq!(footer_ref, packed.footer);
    let footer = Footer::read(block(&footer_ref, Tag::Footer)).unwrap();
    assert_eq!(footer.raw_bytes, packed.raw_bytes);

    let lists: Vec<_> =
        footer.lists.iter().map(|l| read_frame_list(block(l, Tag::FrameList)).unwrap()).collect();
    assert!(lists.iter().rev().skip(1).all(|list| list.len() == FRAMES_PER_LIST));
    let frames = lists.concat();
    assert_eq!(frames.len() as u64, footer.frames());
    let mut decoder = Decoder::new().unwrap();
    let mut raw = Vec::new();
    for (i, frame) in frames.iter().enumerate() {
        assert!(frame.raw as usize == FRAME_BYTES || i + 1 == frames.len(), "only the last frame is short");
        let start = usize::try_from(frame.offset).unwrap();
        let stored = &bytes[start..start + frame.stored as usize];
        raw.extend(decoder.decode(stored, frame.raw, &frame.hash).unwrap());
    }
    assert_eq!(raw.len() as u64, footer.raw_bytes);

    let mut entries: Vec<Entry> = Vec::new();
    for root in &packed.entries {
        let segments = read_root(block(&root.block, Tag::Root)).unwrap();
        assert_eq!(segments.len(), root.segments as usize);
        assert_eq!(segments.iter().map(|s| u64::from(s.rows)).sum::<u64>(), root.rows);
        for at in segments {
            assert_eq!((at.pack, root.pack), (JOB.pack, JOB.pack));
            block(&at.block, Tag::Segment);
            let start = usize::try_from(at.block.offset).unwrap();
            let stored = &bytes[start..start + at.block.length as usize];
            let rows =
                segment::entries(&segment::read_block(&mut decoder, stored, at.raw, None).unwrap()).unwrap();
            assert_eq!(rows.len(), at.rows as usize);
            assert_eq!(rows.last().unwrap().path, at.last);
            entries.extend(rows);
        }
    }
    assert!(entries.is_sorted_by(|a, b| a.path < b.path), "path order over segments too");
    assert_eq!(entries.len() as u64, packed.totals.entries);
    Opened { frames, raw, entries }
}
