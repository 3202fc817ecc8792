//! Looks at packs, and remembers what was found: snapshots share them, and each is read once in a run, damaged or not.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use archive::frame::Hash;
use archive::layout::{TAIL_BYTES, put_tail};
use futures_util::stream::StreamExt as _;

use super::VerifyReport;
use super::bad::Bad;
use crate::failure::{Class, Failure};
use crate::format::manifest::PackRef;
use crate::pipeline::reading::{ReadError, Reading};
use crate::pipeline::scan::scan;
use crate::usecase::watch::{Progress, Told, Watch};

/// Something wrong with a pack: in one of its frames, or besides.
#[derive(Clone)]
pub(super) struct Flaw {
    pub(super) frame: Option<u64>,
    pub(super) what: String,
}

/// What was found in this run.
#[derive(Default)]
pub(super) struct Packs {
    /// By key and hash, so that another object under the same name is another pack.
    seen: BTreeMap<(String, Hash), Vec<Flaw>>,
    /// Keys of objects in which anything was found, tables among it.
    bad: BTreeSet<String>,
}

impl Packs {
    /// Notes which objects a report names from its `from`th damage on.
    pub(super) fn note(&mut self, report: &VerifyReport, from: usize) {
        self.bad.extend(report.damaged[from..].iter().map(|damage| damage.object.clone()));
    }

    /// Whether anything was found in an object.
    pub(super) fn is_bad(&self, key: &str) -> bool {
        self.bad.contains(key)
    }

    /// What is wrong with a pack. It is read unless it was before, or only its ends are if that is enough.
    pub(super) async fn flaws(
        &mut self,
        (bad, pack): (&Bad<'_>, &PackRef),
        quick: bool,
        watch: &dyn Watch,
        report: &mut VerifyReport,
    ) -> Result<Vec<Flaw>, Failure> {
        let key = (bad.reading.key(pack), pack.hash);
        if let Some(seen) = self.seen.get(&key) {
            return Ok(seen.clone());
        }
        let flaws = match lengths(bad.reading, pack).await {
            Err(e) => vec![bad.flaw(None, e)?],
            Ok(()) if quick => Vec::new(),
            Ok(()) => frames(bad, pack, watch, report).await?,
        };
        self.seen.insert(key, flaws.clone());
        Ok(flaws)
    }
}

/// Fetches and decodes every frame.
async fn frames(
    bad: &Bad<'_>,
    pack: &PackRef,
    watch: &dyn Watch,
    report: &mut VerifyReport,
) -> Result<Vec<Flaw>, Failure> {
    let of_bytes = bad.reading.manifest().packs.iter().map(|pack| pack.raw_bytes).sum();
    let mut flaws = Vec::new();
    let mut frames = pin!(scan(bad.reading, pack));
    while let Some(scanned) = frames.next().await {
        if watch.cancel().is_asked() {
            let what = format!("verification of `{}` was interrupted", bad.id);
            return Err(Failure::new(Class::Interrupted, what));
        }
        match scanned.bytes {
            Ok((_, raw)) => {
                report.frames += 1;
                report.bytes += raw.len() as u64;
            }
            Err(e) => flaws.push(bad.flaw(Some(scanned.frame), e)?),
        }
        let bytes = (scanned.frame + 1) * archive::frame::FRAME_BYTES as u64;
        let path = String::new();
        watch.tell(Told::Progress(Progress { entries: 0, bytes, of_bytes: Some(of_bytes), path }));
    }
    Ok(flaws)
}

/// The pack is there, as long as it was, and its tail and frame lists are whole.
async fn lengths(reading: &Reading, pack: &PackRef) -> Result<(), ReadError> {
    match reading.store().head(&reading.key(pack)).await? {
        None => return Err(reading.damaged(pack, None, "the pack is missing")),
        Some(found) if found.length != pack.length => {
            let what = format!("the pack is {} bytes long and should be {}", found.length, pack.length);
            return Err(reading.damaged(pack, None, what));
        }
        Some(_) => {}
    }
    // Only whoever has lost the manifest reads the tail, and that is no time to find it damaged.
    let tail = pack.length.saturating_sub(TAIL_BYTES as u64)..pack.length;
    if reading.store().get_range(&reading.key(pack), tail).await? != put_tail(&pack.footer) {
        return Err(reading.damaged(pack, None, "its tail does not point to its footer"));
    }
    let footer = reading.footer(pack).await?;
    for list in 0..footer.lists.len() {
        reading.frame_list(pack, list).await?;
    }
    Ok(())
}
