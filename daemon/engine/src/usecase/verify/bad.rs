//! What is bad in one snapshot, and which files need it.

use std::collections::BTreeMap;
use std::sync::Arc;

use archive::entry::Entry;
use archive::path::TreePath;

use super::packs::Flaw;
use super::{Damage, VerifyReport};
use crate::failure::Failure;
use crate::format::manifest::PackRef;
use crate::pipeline::entries::Entries;
use crate::pipeline::frames::pieces_of;
use crate::pipeline::reading::{ReadError, Reading};
use crate::usecase::blame;

/// Files named for one bad frame; the rest is only counted.
const FILES_NAMED_MAX: usize = 20;

/// Gathers what is bad in one snapshot.
pub(super) struct Bad<'a> {
    pub(super) id: &'a str,
    pub(super) reading: &'a Arc<Reading>,
    /// Bad frames, and where in the report they stand.
    pub(super) frames: BTreeMap<(u64, u64), usize>,
}

impl Bad<'_> {
    /// What an error says of the pack that was read.
    pub(super) fn flaw(&self, frame: Option<u64>, error: ReadError) -> Result<Flaw, Failure> {
        // A store that cannot be reached says nothing about what is in it.
        if !error.is_damage() {
            return Err(blame::read(format!("verify `{}`", self.id), error));
        }
        let what = match error {
            ReadError::Damaged { what, .. } => what,
            ReadError::Store(e) => e.to_string(),
        };
        Ok(Flaw { frame, what })
    }

    pub(super) fn add(&mut self, pack: &PackRef, flaw: Flaw, report: &mut VerifyReport) {
        let Flaw { frame, what } = flaw;
        if let Some(frame) = frame {
            self.frames.insert((pack.id, frame), report.damaged.len());
        }
        let object = self.reading.key(pack);
        report.damaged.push(Damage { snapshot: self.id.to_owned(), object, frame, files: Vec::new(), what });
    }

    /// Reads all entries: are they as many as the manifest says, do their extents lie within their packs,
    /// and which of them need a bad frame?
    pub(super) async fn tables(&mut self, entries: u64, report: &mut VerifyReport) -> Result<(), Failure> {
        let mut stream = Entries::new(Arc::clone(self.reading), TreePath::root());
        let mut seen = 0;
        loop {
            let batch = match stream.next().await {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(e) if e.is_damage() => {
                    let (object, what) = match &e {
                        ReadError::Damaged { object, what, .. } => (object.clone(), what.clone()),
                        ReadError::Store(e) => (e.key.clone(), e.to_string()),
                    };
                    let snapshot = self.id.to_owned();
                    report.damaged.push(Damage { snapshot, object, frame: None, files: Vec::new(), what });
                    return Ok(());
                }
                Err(e) => return Err(blame::read(format!("verify `{}`", self.id), e)),
            };
            seen += batch.entries.len() as u64;
            for entry in &batch.entries {
                self.entry(entry, report);
            }
        }
        if seen != entries {
            report.damaged.push(Damage {
                snapshot: self.id.to_owned(),
                object: "entries table".to_owned(),
                frame: None,
                files: Vec::new(),
                what: format!("it lists {seen} entries, and the manifest says {entries}"),
            });
        }
        Ok(())
    }

    /// Reads the pages table. Restores never look at it, but who trusts a store wants to know.
    pub(super) async fn pages(&mut self, report: &mut VerifyReport) -> Result<(), Failure> {
        for root in &self.reading.manifest().pages {
            let listed = match self.reading.root(root).await {
                Ok(segments) => segments,
                Err(e) => {
                    self.add_pages(root.pack, e, report)?;
                    continue;
                }
            };
            for segment in &listed {
                if let Err(e) = self.reading.segment(segment).await {
                    self.add_pages(segment.pack, e, report)?;
                }
            }
        }
        Ok(())
    }

    fn add_pages(&mut self, pack: u64, error: ReadError, report: &mut VerifyReport) -> Result<(), Failure> {
        let reading = Arc::clone(self.reading);
        match reading.pack(pack) {
            Ok(pack) => {
                let flaw = self.flaw(None, error)?;
                self.add(pack, flaw, report);
            }
            Err(unlisted) => self.add_unlisted(unlisted, report),
        }
        if let Some(last) = report.damaged.last_mut() {
            last.what.push_str("; it is the pages table: restores are exact, the next backup is a full one");
        }
        Ok(())
    }

    fn add_unlisted(&self, error: ReadError, report: &mut VerifyReport) {
        let what = error.to_string();
        let (snapshot, object) = (self.id.to_owned(), "pages table".to_owned());
        report.damaged.push(Damage { snapshot, object, frame: None, files: Vec::new(), what });
    }

    fn entry(&self, entry: &Entry, report: &mut VerifyReport) {
        for ((id, frame), piece) in pieces_of(0, entry) {
            if let Some(at) = self.frames.get(&(id, frame)) {
                let files = &mut report.damaged[*at].files;
                let path = entry.path.to_string();
                if files.len() < FILES_NAMED_MAX && files.last() != Some(&path) {
                    files.push(path);
                }
            }
            let end =
                frame * archive::frame::FRAME_BYTES as u64 + u64::from(piece.frame_offset + piece.length);
            let what = match self.reading.pack(id) {
                Ok(pack) if end <= pack.raw_bytes => continue,
                Ok(_) => "its content lies beyond the end of its pack".to_owned(),
                Err(e) => e.to_string(),
            };
            report.damaged.push(Damage {
                snapshot: self.id.to_owned(),
                object: "entries table".to_owned(),
                frame: None,
                files: vec![entry.path.to_string()],
                what,
            });
            return;
        }
    }
}
