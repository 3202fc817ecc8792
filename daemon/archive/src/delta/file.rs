//! A regular file that is in the folder and in the snapshot.

use std::os::fd::AsFd as _;

use super::DeltaError;
use super::compare::{Comparing, Pair, may_change};
use super::content::{Comparison, Verdict};
use super::log::What;
use super::pieces::excerpt;
use crate::entry::{Entry, Kind, Witness};
use crate::sparse::Region;
use crate::xattrs::Subject;

/// A deed names no more runs, so that its row stays readable.
const RUNS_MAX: usize = 50_000;

impl Comparing<'_> {
    pub(super) fn file(&mut self, pair: Pair<'_>) -> Result<(), DeltaError> {
        if self.kept.contains_key(&pair.stat.identity) {
            return self.replace(pair);
        }
        let (file, stat) = self.open(&pair)?;
        let same_attributes = self.has_attributes(&pair.entry, &stat, Subject::Open(file.as_fd()));
        let comparison =
            Comparison { file: file.as_fd(), stat: &stat, entry: &pair.entry, threads: self.threads };
        let verdict = self.verdict(&comparison)?;
        let is_alone = stat.links == 1;
        match verdict {
            Verdict::Same if same_attributes => {
                if !is_alone {
                    self.kept.insert(stat.identity, pair.entry.path);
                }
                Ok(())
            }
            Verdict::Same if is_alone => {
                may_change(&pair.entry.path, &stat)?;
                self.want(&pair.entry, Kind::File { size: 0, content: Vec::new() })?;
                self.attributes(pair.entry)
            }
            Verdict::Parts { ranges, holes } if is_alone && (self.can_punch || holes.is_empty()) => {
                may_change(&pair.entry.path, &stat)?;
                self.patch(&pair.entry, &ranges, &holes)?;
                self.attributes(pair.entry)
            }
            Verdict::Same | Verdict::Parts { .. } | Verdict::Other => self.replace(pair),
        }
    }

    fn verdict(&mut self, comparison: &Comparison<'_>) -> Result<Verdict, DeltaError> {
        let path = &comparison.entry.path;
        let Self { pages, tables, pulse, totals, .. } = self;
        let before = totals.bytes.saturating_sub(comparison.entry.size());
        let mut pages_of = |part| pages.of(path, part, tables);
        let mut tell = |bytes| pulse.beat(totals.entries, before + bytes, path);
        Ok(comparison.verdict(&mut pages_of, &mut tell)?)
    }

    fn patch(&mut self, entry: &Entry, ranges: &[Region], holes: &[Region]) -> Result<(), DeltaError> {
        let Kind::File { size, content } = &entry.kind else { return Ok(()) };
        let (mut ranges, mut holes) = (ranges, holes);
        // At least once: its length alone may be another.
        loop {
            let (some, more) = ranges.split_at(ranges.len().min(RUNS_MAX));
            let (punched, left) = holes.split_at(holes.len().min(RUNS_MAX));
            let excerpt = excerpt(content, some, *size);
            self.want(entry, Kind::File { size: *size, content: excerpt })?;
            let (ranges_now, holes_now) = (some.to_vec(), punched.to_vec());
            self.deed(&entry.path, &What::Patch { size: *size, ranges: ranges_now, holes: holes_now })?;
            (ranges, holes) = (more, left);
            if ranges.is_empty() && holes.is_empty() {
                return Ok(());
            }
        }
    }

    fn attributes(&mut self, entry: Entry) -> Result<(), DeltaError> {
        let path = entry.path.clone();
        let kind = Kind::File { size: 0, content: Vec::new() };
        let entry = Entry { kind, witness: Witness::default(), ..entry };
        self.deed(&path, &What::Attributes(Box::new(entry)))
    }
}
