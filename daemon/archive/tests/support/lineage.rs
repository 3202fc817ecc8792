//! Snapshots one after the other, their packs in memory, and a reader that trusts none of the code that wrote them.

#![allow(dead_code, reason = "each test file uses its part of this")]
#![allow(unreachable_pub, reason = "shared between test binaries by `mod`")]
#![allow(clippy::disallowed_methods, reason = "file times come from the system's clock")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use archive::base::{Ask, Base};
use archive::channel::{PackJob, Packed};
use archive::clones::{Cloner, Scratch};
use archive::entry::{Entry, Extent, Kind};
use archive::frame::{Decoder, FrameRow};
use archive::layout::{
    BlockRef, Footer, RootRef, SegmentRef, TAIL_BYTES, Tag, block_body, read_frame_list, read_root, read_tail,
};
use archive::levels::Levels;
use archive::pack::{PackError, Still, System, pack};
use archive::pages::CHUNK_BYTES;
use archive::path::TreePath;
use archive::scope::Scope;
use archive::segment;
use rustix::fd::{AsFd as _, BorrowedFd};
use rustix::io::Errno;

/// A pack and what it decodes to.
pub struct Pack {
    pub bytes: Vec<u8>,
    pub raw: Vec<u8>,
    pub frames: Vec<FrameRow>,
}

impl Pack {
    pub fn block(&self, at: &BlockRef) -> &[u8] {
        let start = usize::try_from(at.offset).unwrap();
        let bytes = &self.bytes[start..start + at.length as usize];
        assert!(at.matches(bytes), "hash of a block");
        bytes
    }

    /// Reads and checks every frame.
    fn read(bytes: Vec<u8>, packed: &Packed) -> Self {
        let mut pack = Self { bytes, raw: Vec::new(), frames: Vec::new() };
        let tail = read_tail(&pack.bytes[pack.bytes.len() - TAIL_BYTES..]).unwrap();
        assert_eq!(tail, packed.footer);
        let footer = Footer::read(block_body(Tag::Footer, pack.block(&tail)).unwrap()).unwrap();
        let (mut raw, mut frames) = (Vec::new(), Vec::new());
        let mut decoder = Decoder::new().unwrap();
        for list in &footer.lists {
            for frame in read_frame_list(block_body(Tag::FrameList, pack.block(list)).unwrap()).unwrap() {
                let start = usize::try_from(frame.offset).unwrap();
                let stored = &pack.bytes[start..start + frame.stored as usize];
                raw.extend(decoder.decode(stored, frame.raw, &frame.hash).unwrap());
                frames.push(frame);
            }
        }
        assert_eq!((raw.len() as u64, footer.raw_bytes), (packed.raw_bytes, packed.raw_bytes));
        (pack.raw, pack.frames) = (raw, frames);
        pack
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// How the next snapshot is made.
#[derive(Debug, Clone, Default)]
pub struct How {
    pub full: bool,
    pub reread: bool,
    pub shun: BTreeSet<u64>,
    /// The real clock, so that files are young; else an hour has passed.
    pub at_once: bool,
    /// An hour passes before each look at the clock but the first.
    pub slow: bool,
    pub scope: Option<Scope>,
    /// What is answered of streams, by their paths.
    pub streams: BTreeMap<TreePath, Vec<u8>>,
    /// How the file system fails to write out what it has in memory.
    pub unsynced: Option<Errno>,
}

/// All packs that were made, and the last snapshot.
#[derive(Default)]
pub struct Lineage {
    pub packs: BTreeMap<u64, Pack>,
    pub last: Option<Packed>,
    pub asked: Vec<Ask>,
    /// What happens as soon as a picture is taken. With it the next snapshot is of a picture, and must be.
    pub meanwhile: Option<Meanwhile>,
    next: u64,
}

type Meanwhile = Box<dyn FnOnce()>;

impl Lineage {
    /// The next snapshot.
    #[track_caller]
    pub fn snapshot(&mut self, root: &Path, how: &How) -> Packed {
        let (packed, bytes) = self.try_snapshot(root, how, |_ask, answer| Ok(answer)).unwrap();
        let id = self.next;
        assert_eq!(bytes.len() as u64, packed.length);
        assert_eq!(blake3::hash(&bytes).as_bytes(), &packed.hash);
        if packed.length > 0 {
            self.packs.insert(id, Pack::read(bytes, &packed));
        }
        self.last = Some(packed.clone());
        packed
    }

    /// The same, with `change` between question and answer, and nothing kept.
    pub fn try_snapshot(
        &mut self,
        root: &Path,
        how: &How,
        mut change: impl FnMut(&Ask, Vec<u8>) -> io::Result<Vec<u8>>,
    ) -> Result<(Packed, Vec<u8>), PackError> {
        let job = self.job(how);
        let bytes = Mutex::new(Vec::new());
        let mut sink = |piece: &[u8]| {
            bytes.lock().unwrap().extend_from_slice(piece);
            Ok(())
        };
        let Self { packs, asked, meanwhile, .. } = self;
        asked.clear();
        let mut streams = how.streams.clone();
        let mut ask = |ask: &Ask| {
            asked.push(ask.clone());
            let answer = match ask {
                Ask::Stream(path) => {
                    let rest = streams.get_mut(path).unwrap();
                    rest.drain(..rest.len().min(CHUNK_BYTES)).collect()
                }
                Ask::Root(_) | Ask::Segment { .. } => answer(packs, ask),
            };
            change(ask, answer)
        };
        let later = if how.at_once { Duration::ZERO } else { HOUR };
        let looks = Cell::new(0);
        let now = || {
            let passed = if how.slow { HOUR * looks.replace(looks.get() + 1) } else { Duration::ZERO };
            SystemTime::now() + later + passed
        };
        let folder = File::open(root).unwrap();
        let scratch = match meanwhile {
            Some(_) => Scratch {
                folder: Some(File::open(std::env::temp_dir()).unwrap().into()),
                cloner: Cloner::COPY,
            },
            None => Scratch::NONE,
        };
        let mut meanwhile = meanwhile.take();
        let mut taken = || {
            meanwhile.take().expect("one picture")();
            Ok(())
        };
        let still = Still { scratch: &scratch, taken: &mut taken };
        let sync = |folder: BorrowedFd<'_>| how.unsynced.map_or_else(|| rustix::fs::syncfs(folder), Err);
        let system = System { now: &now, sync: &sync };
        let packed = pack(folder.as_fd(), &job, &mut sink, &mut ask, &mut |_| {}, system, still)?;
        assert!(meanwhile.is_none(), "no picture was taken");
        let bytes = bytes.into_inner().unwrap();
        Ok((packed, bytes))
    }

    /// Drops every pack that none of these snapshots names.
    pub fn prune<'a>(&mut self, keep: impl Iterator<Item = &'a Packed>) {
        let used: BTreeSet<u64> = keep.flat_map(|packed| packed.used.keys().copied()).collect();
        self.packs.retain(|id, _| used.contains(id));
    }

    /// The job of the next snapshot.
    pub fn job(&mut self, how: &How) -> PackJob {
        self.next += 4;
        let base = self.last.as_ref().filter(|_| !how.full).map(|last| Base {
            entries: last.entries.clone(),
            pages: last.pages.clone(),
            shun: how.shun.clone(),
            reread: how.reread,
        });
        let scope = how.scope.clone().map(Box::new);
        PackJob { pack: self.next, levels: Levels::Fixed(1), workers: 2, base, scope, between_updates: false }
    }

    /// What the engine would answer.
    pub fn answer(&self, ask: &Ask) -> Vec<u8> {
        answer(&self.packs, ask)
    }

    /// The segments of a table.
    pub fn segments(&self, roots: &[RootRef]) -> Vec<SegmentRef> {
        let read = |root: &RootRef| {
            let body = block_body(Tag::Root, self.packs[&root.pack].block(&root.block)).unwrap();
            let segments = read_root(body).unwrap();
            assert_eq!(segments.len(), root.segments as usize);
            assert_eq!(segments.iter().map(|s| u64::from(s.rows)).sum::<u64>(), root.rows);
            segments
        };
        roots.iter().flat_map(read).collect()
    }

    pub fn rows(&self, at: &SegmentRef) -> Vec<u8> {
        let SegmentRef { pack, block, raw, ground, .. } = *at;
        let answer = answer(&self.packs, &Ask::Segment { pack, block, raw, ground });
        answer[answer.len() - raw as usize..].to_vec()
    }

    /// All entries of a snapshot.
    pub fn entries(&self, packed: &Packed) -> Vec<Entry> {
        let mut all = Vec::new();
        for at in self.segments(&packed.entries) {
            let entries = segment::entries(&self.rows(&at)).unwrap();
            assert_eq!((entries.len(), &entries.last().unwrap().path), (at.rows as usize, &at.last));
            all.extend(entries);
        }
        assert!(all.is_sorted_by(|a, b| a.path < b.path));
        assert_eq!(all.len() as u64, packed.totals.entries);
        all
    }

    pub fn entry(&self, packed: &Packed, path: &str) -> Entry {
        self.entries(packed).into_iter().find(|entry| entry.path.as_bytes() == path.as_bytes()).unwrap()
    }

    /// A file's bytes, and its holes as ranges.
    pub fn content(&self, entry: &Entry) -> (Vec<u8>, Vec<(u64, u64)>) {
        let Kind::File { size, content } = &entry.kind else { panic!("{} is no file", entry.path) };
        let (mut bytes, mut holes) = (Vec::new(), Vec::new());
        for extent in content {
            let at = bytes.len() as u64;
            match extent {
                Extent::Hole { length } => {
                    holes.push((at, at + length));
                    bytes.resize(bytes.len() + usize::try_from(*length).unwrap(), 0);
                }
                Extent::Stored { pack, position, length } => {
                    let start = usize::try_from(*position).unwrap();
                    let end = start + usize::try_from(*length).unwrap();
                    bytes.extend_from_slice(&self.packs[pack].raw[start..end]);
                }
            }
        }
        assert_eq!(bytes.len() as u64, *size);
        (bytes, holes)
    }

    /// What `used` must say, counted from the tables.
    pub fn count_used(&self, packed: &Packed) -> BTreeMap<u64, u64> {
        let mut used = BTreeMap::new();
        for entry in self.entries(packed) {
            let Kind::File { content, .. } = &entry.kind else { continue };
            for extent in content {
                if let Extent::Stored { pack, length, .. } = extent {
                    *used.entry(*pack).or_default() += length;
                }
            }
        }
        for roots in [&packed.entries, &packed.pages] {
            let segments = self.segments(roots);
            for pack in roots.iter().map(|r| r.pack).chain(segments.iter().flat_map(needed)) {
                used.entry(pack).or_default();
            }
        }
        used
    }
}

fn needed(segment: &SegmentRef) -> impl Iterator<Item = u64> {
    [segment.pack].into_iter().chain(segment.ground.map(|ground| ground.pack))
}

fn answer(packs: &BTreeMap<u64, Pack>, ask: &Ask) -> Vec<u8> {
    match ask {
        Ask::Root(root) => block_body(Tag::Root, packs[&root.pack].block(&root.block)).unwrap().to_vec(),
        Ask::Segment { pack, block, raw, ground: None } => segment(packs, *pack, block, *raw, None),
        Ask::Stream(path) => panic!("{path} is no table"),
        Ask::Segment { pack, block, raw, ground: Some(ground) } => {
            let under = segment(packs, ground.pack, &ground.block, ground.raw, None);
            let rows = segment(packs, *pack, block, *raw, Some(&under));
            [under, rows].concat()
        }
    }
}

fn segment(
    packs: &BTreeMap<u64, Pack>,
    pack: u64,
    at: &BlockRef,
    raw: u32,
    ground: Option<&[u8]>,
) -> Vec<u8> {
    segment::read_block(&mut Decoder::new().unwrap(), packs[&pack].block(at), raw, ground).unwrap()
}
