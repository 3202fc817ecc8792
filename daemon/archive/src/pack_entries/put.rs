//! An entry as it goes out: headers into the stream, a row into the table.

use std::ffi::CStr;
use std::io;

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

use super::{Look, PASSED, Packer};
use crate::channel::NoteKind;
use crate::entry::{Entry, Extent, Kind, Witness, Xattr};
use crate::pack::Halt;
use crate::path::TreePath;
use crate::pax::{self, Body};
use crate::stat::Stat;
use crate::xattrs::Subject;

pub(super) const EMPTY: Body = Body::Plain { size: 0 };

impl Packer<'_> {
    pub(super) fn symlink(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        path: &TreePath,
        stat: &Stat,
    ) -> Result<Look, Halt> {
        match rustix::fs::readlinkat(folder, name, Vec::new()) {
            Ok(target) => {
                self.special(folder, name, path, stat, Kind::Symlink { target: target.into_bytes() })
            }
            Err(Errno::INVAL | Errno::NOENT) => Ok(Look::Again),
            Err(why) => {
                self.unreadable(path, format!("cannot read link: {}", io::Error::from(why)));
                Ok(PASSED)
            }
        }
    }

    /// What is recorded without being opened.
    pub(super) fn special(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        path: &TreePath,
        stat: &Stat,
        kind: Kind,
    ) -> Result<Look, Halt> {
        let xattrs = self.read_xattrs(Subject::Name(folder, name), path);
        self.put(path.clone(), stat, kind, xattrs)?;
        Ok(PASSED)
    }

    pub(super) fn read_xattrs(&mut self, subject: Subject<'_>, path: &TreePath) -> Vec<Xattr> {
        let (xattrs, missing) = self.xattrs.read(subject);
        for why in missing {
            self.notes.add(path, NoteKind::Attribute, why);
        }
        xattrs
    }

    /// An entry without content.
    pub(super) fn put(
        &mut self,
        path: TreePath,
        stat: &Stat,
        kind: Kind,
        xattrs: Vec<Xattr>,
    ) -> Result<(), Halt> {
        let entry = entry_of(path, stat, kind, xattrs);
        if self.picture.is_some() {
            return self.picture_entry(entry);
        }
        if matches!(entry.kind, Kind::File { .. }) {
            self.totals.files += 1;
        }
        self.put_headers(&entry, EMPTY)?;
        self.put_row(&entry)
    }

    /// Only a complete tarball has headers.
    pub(super) fn put_headers(&mut self, entry: &Entry, body: Body) -> Result<(), Halt> {
        if self.base.is_some() {
            return Ok(());
        }
        self.headers.clear();
        pax::put_headers(&mut self.headers, &mut self.records, entry, body);
        Ok(self.stream.write(&self.headers)?)
    }

    pub(super) fn put_row(&mut self, entry: &Entry) -> Result<(), Halt> {
        self.meet(Some(&entry.path))?;
        if let Some(scoped) = &mut self.scoped {
            scoped.saw(entry);
        }
        self.totals.entries += 1;
        if let Kind::File { content, .. } = &entry.kind {
            for extent in content {
                if let Extent::Stored { pack, length, .. } = extent {
                    self.totals.data_bytes += length;
                    *self.used.entry(*pack).or_default() += length;
                }
            }
        }
        match self.cutter.push(entry) {
            Some(segment) => self.put_segment(segment),
            None => Ok(()),
        }
    }
}

pub(super) fn entry_of(path: TreePath, stat: &Stat, kind: Kind, xattrs: Vec<Xattr>) -> Entry {
    let Stat { mode, uid, gid, modified, .. } = *stat;
    let witness = Witness { inode: stat.identity.inode, changed: stat.changed, ..Witness::default() };
    Entry { path, kind, mode, uid, gid, modified, xattrs, witness }
}
