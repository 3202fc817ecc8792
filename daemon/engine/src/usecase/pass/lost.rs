//! Whether the packs behind a snapshot are there and whole, as far as is known, before the next one leans on them.
//!
//! All tables of a snapshot may be readable, and a pack that holds nothing but content be gone: a deletion that was cut
//! off took it, or a rule of the bucket. Whoever leans on that would commit what cannot be restored. Always true: packs that
//! a pass leans on were there when it began, each as long as it was; and a pack in which a verification found damage is
//! leaned on no more, whichever snapshot was verified: what lies in it is read and stored anew.

use archive::base::Base;
use futures_util::stream::{self, StreamExt as _};

use crate::failure::Failure;
use crate::format::manifest::Manifest;
use crate::usecase::backup::Deed;
use crate::usecase::base::WhyFull;
use crate::usecase::blame;
use crate::usecase::host::catalog_failure;

/// Packs that are asked for at once.
const ASKED_AT_ONCE: usize = 8;

impl Deed<'_> {
    /// The base that was chosen, unless a pack behind it is lost.
    pub(super) async fn on_its_packs(
        &self,
        base: Result<Base, WhyFull>,
        parent: Option<&Manifest>,
    ) -> Result<Result<Base, WhyFull>, Failure> {
        let (Ok(base), Some(parent)) = (&base, parent) else { return Ok(base) };
        Ok(match self.lost_pack(parent).await? {
            None => Ok(self.without_damaged(base.clone(), parent)?),
            Some(why) => Err(WhyFull::Lost(why)),
        })
    }

    /// The base without what a verification found damaged.
    fn without_damaged(&self, mut base: Base, parent: &Manifest) -> Result<Base, Failure> {
        let damaged = self.host.catalog().damaged_packs(&self.store.name(), self.lineage);
        let damaged =
            damaged.map_err(|e| catalog_failure(format!("look at packs of `{}`", self.lineage.source), e))?;
        for pack in parent.packs.iter().filter(|pack| damaged.contains(&pack.name)) {
            base.shun.insert(pack.id);
            self.warn(format!(
                "a verification found `{}{}` damaged: what is needed of it is stored anew",
                self.lineage.prefix(),
                pack.name
            ));
        }
        Ok(base)
    }

    /// What is wrong with a pack of the snapshot, if with any.
    async fn lost_pack(&self, manifest: &Manifest) -> Result<Option<String>, Failure> {
        let packs: Vec<_> = manifest
            .packs
            .iter()
            .map(|pack| (format!("{}{}", self.lineage.prefix(), pack.name), pack.length))
            .collect();
        let mut asked = stream::iter(packs)
            .map(|(key, length)| async move {
                let found = self.store.head(&key).await;
                let found = found.map_err(|e| blame::store(format!("look for `{key}`"), e))?;
                Ok::<_, Failure>(match found {
                    None => Some(format!("its pack `{key}` is gone")),
                    Some(found) if found.length != length => {
                        Some(format!("its pack `{key}` has {} bytes of {length}", found.length))
                    }
                    Some(_) => None,
                })
            })
            .buffered(ASKED_AT_ONCE);
        while let Some(lost) = asked.next().await {
            if let Some(why) = lost? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }
}
