//! What was before a backup: the number that it gets, and the snapshot that it follows.
//!
//! Always true: a number that the store or this host's catalog knows is not given again, and nothing that lies under one is
//! written over. A manifest that is damaged or gone costs a full snapshot or a warning, never the backup: a full snapshot
//! leans on nothing that anybody else could have put there. One that another key has signed, or that a newer version wrote,
//! does end it.

use jiff::Timestamp;

use crate::catalog::Filter;
use crate::failure::Failure;
use crate::usecase::backup::Deed;
use crate::usecase::host::catalog_failure;
use crate::usecase::index::{self, Folder, Looked, Signed};
use crate::usecase::opened;
use crate::usecase::watch::Told;
use crate::words::Number;

/// What a backup goes by, once it is known what was before it.
pub(super) struct Begun {
    pub(super) folder: Folder,
    /// The newest snapshot whose manifest can be trusted, deleted ones among them.
    pub(super) parent: Option<Signed>,
    /// The key of a newer manifest, which is damaged: then nothing is leaned on.
    pub(super) damaged: Option<String>,
    pub(super) number: Number,
    pub(super) taken_at: Timestamp,
}

impl Deed<'_> {
    /// Looks what was before.
    pub(super) async fn begin(&self) -> Result<Begun, Failure> {
        let mut folder = index::folder(self.store, self.lineage).await?;
        let unlisted = self.unlisted(&mut folder).await?;
        let number = match folder.highest().max(unlisted) {
            None => Number::FIRST,
            Some(highest) => highest.next().ok_or_else(|| {
                Failure::failed(format!("lineage `{}` has used up its numbers", self.lineage.source))
            })?,
        };
        let (parent, damaged) = self.parent(&folder).await?;
        let taken_at = self.host.clock().now();
        self.watch.tell(Told::Step(format!("reading {}", self.request.source)));
        Ok(Begun { folder, parent, damaged, number, taken_at })
    }

    /// The highest number that the catalog knows, if the store's list lacks it. It is added to the list if it is there all
    /// the same: lists may be out of date.
    async fn unlisted(&self, folder: &mut Folder) -> Result<Option<Number>, Failure> {
        let known = self.host.catalog().snapshots(&Filter::of(&self.store.name(), self.lineage));
        let known = known.map_err(|e| catalog_failure(format!("look at `{}`", self.lineage.source), e))?;
        let Some(known) = known.into_iter().max_by_key(|row| row.key.number) else { return Ok(None) };
        let number = known.key.number;
        if folder.highest() >= Some(number) {
            return Ok(None);
        }
        match index::found(self.store, self.lineage, number).await? {
            Some(false) => folder.live.push(number),
            Some(true) => folder.deleted.push(number),
            None if known.deleted_at.is_some() => {}
            None => self.warn(format!(
                "`{}` is gone from the store, and this host has not deleted it: it cannot be restored, \
                 and its number is not used again; `backupctl verify --all` tells what else is missing",
                self.lineage.manifest(number)
            )),
        }
        Ok(Some(number))
    }

    /// The newest manifest that can be trusted, and the key of the newest one, if that is damaged.
    async fn parent(&self, folder: &Folder) -> Result<(Option<Signed>, Option<String>), Failure> {
        let live = folder.live.iter().map(|number| (*number, false));
        let mut numbers: Vec<_> = live.chain(folder.deleted.iter().map(|number| (*number, true))).collect();
        numbers.sort_unstable();
        let mut damaged = None;
        if numbers.is_empty() {
            return Ok((None, damaged));
        }
        let trusted = opened::trusted(self.host, self.store, &self.lineage.host).await?;
        for (number, deleted) in numbers.into_iter().rev() {
            match index::look(self.store, self.lineage, number, deleted, &trusted).await? {
                Looked::Good(signed) => return Ok((Some(*signed), damaged)),
                Looked::Damaged(failure) => {
                    self.host.note_damaged(self.lineage, number).await?;
                    self.warn(format!(
                        "{failure}; put a good copy of it back, or remove it: `backupctl verify --all` tells \
                         what is whole"
                    ));
                    let key =
                        if deleted { self.lineage.deleted(number) } else { self.lineage.manifest(number) };
                    damaged = damaged.or(Some(key));
                }
            }
        }
        Ok((None, damaged))
    }
}
