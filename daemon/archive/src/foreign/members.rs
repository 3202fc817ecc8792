//! The members of a tar archive, one after the other.
//!
//! Always true: a member is given only when all that belongs to its header was read and agreed with itself; what of its
//! body nobody read is passed over before the next one; and the end is two empty blocks with nothing but zeros after
//! them.

use super::error::ForeignError;
use super::header::{Block, Header};
use super::map::{self, Region};
use super::records::Records;
use super::unwrap::Unwrapped;
use crate::entry::{Stamp, Xattr};
use crate::pax::{BLOCK_BYTES, padding};

/// A pax header with attributes and a map of holes stays below.
const RECORDS_BYTES_MAX: u64 = 16 << 20;

/// A name in a header of the GNU dialect; paths have a limit of their own.
const NAME_BYTES_MAX: u64 = 2 << 20;

/// No file system holds a larger file.
const SIZE_MAX: u64 = i64::MAX as u64;

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    /// Its size, and where its data lies in it.
    File {
        size: u64,
        regions: Vec<Region>,
    },
    Symlink,
    Hardlink,
    Fifo,
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    /// Something that only the program that wrote it knows.
    Unknown(u8),
}

/// One member, all records applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// As it stands there.
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: i64,
    pub(super) gid: i64,
    pub(super) modified: Stamp,
    pub(super) xattrs: Vec<Xattr>,
    /// Attributes that are not carried.
    pub(super) lost: Vec<String>,
}

/// What came before a header, for it.
#[derive(Default)]
struct Prelude {
    records: Option<Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// Reads an archive.
pub(super) struct Members<'a> {
    input: Unwrapped<'a>,
    global: Records,
    /// Bytes of the body that were not read, and the padding behind it.
    body: u64,
    padding: usize,
    ended: bool,
}

impl<'a> Members<'a> {
    pub(super) fn new(input: Unwrapped<'a>) -> Self {
        Self { input, global: Records::default(), body: 0, padding: 0, ended: false }
    }

    /// The next member; `None` at the archive's own end.
    pub(super) fn next(&mut self) -> Result<Option<Member>, ForeignError> {
        let mut prelude = Prelude::default();
        loop {
            self.pass()?;
            let Some(block) = self.header_block()? else {
                let waits = prelude.records.is_some() || prelude.name.is_some() || prelude.link.is_some();
                return if waits { Err(cut("after a header that belongs to a member")) } else { Ok(None) };
            };
            let header = Header::parse(&block)?;
            let twice = || ForeignError::hostile(&header.name, "one member has two such headers");
            match header.tag {
                b'x' if prelude.records.is_some() => return Err(twice()),
                b'x' => {
                    let bytes = self.small(&header, RECORDS_BYTES_MAX)?;
                    prelude.records = Some(Records::parse(&bytes, &self.global)?);
                }
                b'g' => {
                    let bytes = self.small(&header, RECORDS_BYTES_MAX)?;
                    self.global = Records::parse(&bytes, &self.global)?;
                    if self.global.is_of_one() || prelude.records.is_some() {
                        return Err(ForeignError::hostile(
                            &header.name,
                            "what holds for all names one member",
                        ));
                    }
                }
                b'L' if prelude.name.is_some() => return Err(twice()),
                b'L' => prelude.name = Some(self.name(&header)?),
                b'K' if prelude.link.is_some() => return Err(twice()),
                b'K' => prelude.link = Some(self.name(&header)?),
                // The name of the archive itself.
                b'V' => self.open_body(header.size),
                _ => return self.member(header, &block, prelude).map(Some),
            }
        }
    }

    /// The next bytes of the body: as many as fit, none at its end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ForeignError> {
        let most = usize::try_from(self.body).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.input.fill(&mut buffer[..most])?;
        if n < most {
            return Err(cut("inside a member"));
        }
        self.body -= n as u64;
        Ok(n)
    }

    /// After the end: nothing but zeros, to the end of all wrappings.
    pub(super) fn finish(mut self) -> Result<(), ForeignError> {
        assert!(self.ended, "BUG: members are left");
        let mut rest = vec![0; 64 << 10];
        loop {
            let n = self.input.fill(&mut rest)?;
            if n == 0 {
                return Ok(());
            }
            if rest[..n].iter().any(|byte| *byte != 0) {
                return Err(ForeignError::NotWhole(
                    "something follows after the end of the archive; if several were joined, import each by itself"
                        .to_owned(),
                ));
            }
        }
    }

    fn open_body(&mut self, size: u64) {
        self.body = size;
        self.padding = padding(size);
    }

    /// Passes over what is left of a body.
    fn pass(&mut self) -> Result<(), ForeignError> {
        let mut rest = [0; 8 << 10];
        while self.body > 0 {
            self.read(&mut rest)?;
        }
        let padding = std::mem::take(&mut self.padding);
        match self.input.fill(&mut rest[..padding])? {
            n if n < padding => Err(cut("behind a member")),
            _ => Ok(()),
        }
    }

    fn block(&mut self) -> Result<Option<Block>, ForeignError> {
        let mut block = [0; BLOCK_BYTES];
        match self.input.fill(&mut block)? {
            0 => Ok(None),
            BLOCK_BYTES => Ok(Some(block)),
            _ => Err(cut("inside a block")),
        }
    }

    /// The next header; `None` at the end, which is two empty blocks and nothing else.
    fn header_block(&mut self) -> Result<Option<Block>, ForeignError> {
        let Some(block) = self.block()? else { return Err(cut("before its end, which is two empty blocks")) };
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Some(block));
        }
        match self.block()? {
            Some(second) if second.iter().all(|byte| *byte == 0) => {
                self.ended = true;
                Ok(None)
            }
            Some(_) => {
                Err(ForeignError::NotWhole("the archive is damaged: an empty block stands inside".to_owned()))
            }
            None => Err(cut("before its end, which is two empty blocks")),
        }
    }

    /// A body that belongs to a header, whole.
    fn small(&mut self, header: &Header, most: u64) -> Result<Vec<u8>, ForeignError> {
        let length = usize::try_from(header.size).ok().filter(|_| header.size <= most);
        let length = length.ok_or_else(|| {
            ForeignError::hostile(&header.name, format!("a header of {} bytes", header.size))
        })?;
        self.open_body(header.size);
        let mut bytes = vec![0; length];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// A name in the GNU dialect ends with a NUL.
    fn name(&mut self, header: &Header) -> Result<Vec<u8>, ForeignError> {
        let mut bytes = self.small(header, NAME_BYTES_MAX)?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(ForeignError::hostile(&header.name, "a long name is empty, or holds a NUL byte"));
        }
        Ok(bytes)
    }

    fn member(&mut self, header: Header, block: &Block, prelude: Prelude) -> Result<Member, ForeignError> {
        let records = prelude.records.unwrap_or_else(|| self.global.clone());
        let Records { path, link, size, uid, gid, modified, xattrs, lost, sparse } = records;
        if (path.is_some() || sparse.name.is_some()) && prelude.name.is_some()
            || link.is_some() && prelude.link.is_some()
        {
            return Err(ForeignError::hostile(
                &header.name,
                "it has two long names, and readers take one or the other",
            ));
        }
        let name = sparse.name.clone().or(path).or(prelude.name).unwrap_or(header.name);
        let refuse = |why: String| ForeignError::hostile(&name, why);
        let stored = size.unwrap_or(header.size);
        if stored > SIZE_MAX {
            return Err(refuse(format!("it says that it has {stored} bytes")));
        }
        let is_file = matches!(header.tag, 0 | b'0' | b'7' | b'S');
        if sparse.any && (!is_file || header.tag == b'S') {
            return Err(refuse("it has a map of holes, and is no such file".to_owned()));
        }
        if matches!(header.tag, b'1'..=b'6') && stored > 0 {
            return Err(refuse(format!(
                "{stored} bytes follow what has no content, and readers disagree on where the next member begins"
            )));
        }
        self.open_body(stored);
        let kind = match header.tag {
            0 | b'0' | b'7' if name.ends_with(b"/") && stored == 0 && !sparse.any => Kind::Folder,
            b'S' => self.old_sparse(block, stored).map_err(|why| why.of(&name))?,
            0 | b'0' | b'7' if sparse.any => self.new_sparse(&sparse, stored).map_err(|why| why.of(&name))?,
            0 | b'0' | b'7' => {
                let all = Region { start: 0, length: stored };
                Kind::File {
                    size: stored,
                    regions: Some(all).filter(|all| all.length > 0).into_iter().collect(),
                }
            }
            b'1' => Kind::Hardlink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice(header.major, header.minor),
            b'4' => Kind::BlockDevice(header.major, header.minor),
            // A folder of an incremental archive has a list as its body.
            b'5' | b'D' => Kind::Folder,
            b'6' => Kind::Fifo,
            b'M' => return Err(refuse("it goes on from another archive; join the volumes first".to_owned())),
            // Solaris' own records can change what follows.
            b'X' => return Err(refuse("records of Solaris tar are not understood".to_owned())),
            other => Kind::Unknown(other),
        };
        Ok(Member {
            link: link.or(prelude.link).unwrap_or(header.link),
            kind,
            mode: header.mode,
            uid: uid.unwrap_or(header.uid),
            gid: gid.unwrap_or(header.gid),
            modified: modified.unwrap_or(Stamp { seconds: header.seconds, nanoseconds: 0 }),
            xattrs,
            lost,
            name,
        })
    }

    /// The GNU dialect of before: pieces in the header, and in blocks that continue it.
    fn old_sparse(&mut self, block: &Block, stored: u64) -> Result<Kind, Bad> {
        let size = super::header::number(&block[483..495]).and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or(Bad::Map("its size is no number"))?;
        let mut regions = Vec::new();
        let too_many = Bad::Map("its map of holes is no map, or too long");
        let mut more = map::add_old(block, 386, 4, 482, &mut regions).ok_or(too_many)?;
        while more {
            let block =
                self.block().map_err(Bad::Archive)?.ok_or_else(|| Bad::Archive(cut("inside a header")))?;
            more = map::add_old(&block, 0, 21, 504, &mut regions)
                .ok_or(Bad::Map("its map of holes is too long"))?;
        }
        let regions = map::check(regions, size, stored).map_err(Bad::Map)?;
        Ok(Kind::File { size, regions })
    }

    /// Records say it: the map itself, or that it comes before the data.
    fn new_sparse(&mut self, sparse: &super::records::SparseRecords, stored: u64) -> Result<Kind, Bad> {
        let size = sparse.size.filter(|size| *size <= SIZE_MAX).ok_or(Bad::Map("its size is not told"))?;
        let regions = match sparse.version {
            None | Some((0, 0 | 1)) => sparse.regions().ok_or(Bad::Map("its map of holes is no map"))?,
            Some((1, 0)) => self.mapped()?,
            Some(_) => return Err(Bad::Map("its map of holes is of a version that is not known")),
        };
        // The map is a part of the body.
        let stored = stored.min(self.body);
        let regions = map::check(regions, size, stored).map_err(Bad::Map)?;
        Ok(Kind::File { size, regions })
    }

    /// Reads a map of version 1.0, block by block.
    fn mapped(&mut self) -> Result<Vec<Region>, Bad> {
        let mut lines = map::Lines::default();
        loop {
            let mut block = [0; BLOCK_BYTES];
            if self.read(&mut block).map_err(Bad::Archive)? < BLOCK_BYTES {
                return Err(Bad::Map("its map of holes has no end"));
            }
            if let Some(regions) = lines.add(&block).map_err(Bad::Map)? {
                return Ok(regions);
            }
        }
    }
}

/// What is wrong with a member whose name is not at hand.
enum Bad {
    Map(&'static str),
    Archive(ForeignError),
}

impl Bad {
    fn of(self, name: &[u8]) -> ForeignError {
        match self {
            Self::Map(why) => ForeignError::hostile(name, why),
            Self::Archive(error) => error,
        }
    }
}

fn cut(at: &str) -> ForeignError {
    ForeignError::NotWhole(format!("the archive is cut short: it ends {at}"))
}
