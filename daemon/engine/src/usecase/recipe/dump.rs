//! Mode `dump`: what programs of the policy say becomes files of the snapshot, beside the source's own or instead of them.
//!
//! ```text
//! is every container there? → first pass: the source's files, or none → second pass: nothing but what the programs say,
//!   one after the other, each started when the helper asks for its first bytes
//! ```
//!
//! A tarball says of each file first how long it is, which nobody knows of a program's output; so dumps are always in the
//! second pass, which has no tarball. Nobody is held, and nothing of a dump is ever in a file outside of the store.
//! Always true: a dump that did not end by itself, with status 0 and to its last byte, is no part of any snapshot.

mod saying;
mod secret;

use archive::ours::DUMP_FOLDER;
use archive::path::TreePath;
use archive::scope::{LeftOut, Planted, PlantedContent, Scope};
use async_trait::async_trait;
use policies::policy::{self, Dump, Mode};

use self::saying::Saying;
use crate::failure::{Class, Failure};
use crate::format::manifest::Consistency;
use crate::pipeline::streams::Streams;
use crate::port::docker::Container;
use crate::usecase::backup::Deed;
use crate::usecase::blame;
use crate::usecase::recipe::{Recipe, Second, place};
use crate::usecase::source;

/// The dumps of a policy.
pub(super) struct Dumps {
    dumps: Vec<Dump>,
    /// The source's own files are left out.
    only: bool,
}

impl Dumps {
    pub(super) fn new(deed: &Deed<'_>) -> Result<Self, Failure> {
        let policy::Consistency { dumps, only, .. } = &deed.request.consistency;
        if dumps.is_empty() {
            return Err(Failure::new(Class::Usage, format!("`{}` has no dumps", deed.request.source))
                .because("mode `dump` keeps what programs of a policy say")
                .hint("write `[[consistency.dumps]]` into its policy"));
        }
        Ok(Self { dumps: dumps.clone(), only: *only })
    }

    fn plant(&self, content: &PlantedContent) -> impl Iterator<Item = Planted> {
        let planted = |path| Planted { path, content: content.clone(), like: TreePath::root() };
        self.dumps.iter().map(path_of).map(planted)
    }
}

fn folder() -> TreePath {
    TreePath::root().join(DUMP_FOLDER).unwrap_or_default()
}

/// Where a dump is in the snapshot.
fn path_of(dump: &Dump) -> TreePath {
    // The policy has checked the name.
    folder().join(dump.file.as_bytes()).unwrap_or_default()
}

fn plant_folder() -> Planted {
    Planted { path: folder(), content: PlantedContent::Folder, like: TreePath::root() }
}

/// The container that a dump's program runs in, as it is now.
async fn container_of(deed: &Deed<'_>, dump: &Dump) -> Result<Container, Failure> {
    let name = &deed.request.source;
    let found = async {
        let source = source::resolve(deed.docker, name).await?;
        if dump.container.is_none() && dump.service.is_none() {
            return place::find(&source, name, Mode::Dump).map(|place| place.container);
        }
        let what = || "look for its container".to_owned();
        let containers = deed.docker.containers().await.map_err(|e| blame::docker(what(), e))?;
        match (&dump.container, &dump.service) {
            (Some(container), _) => place::named(&containers, container),
            (None, service) => {
                place::of_service(&source, &containers, service.as_deref().unwrap_or_default())
            }
        }
    };
    found.await.map_err(|failure| failure.within(&format!("dump `{}`", dump.file)))
}

#[async_trait]
impl Recipe for Dumps {
    async fn begin(&mut self, deed: &Deed<'_>) -> Result<(), Failure> {
        for dump in &self.dumps {
            container_of(deed, dump).await?;
            secret::values(dump)?;
        }
        Ok(())
    }

    /// What was dumped before stays for now, so that the next dump is compared with it.
    fn first(&self) -> Option<Scope> {
        let leave_out = if self.only { vec![LeftOut::Inside(TreePath::root())] } else { Vec::new() };
        let keep = self.dumps.iter().map(path_of).collect();
        Some(Scope { leave_out, keep, plant: vec![plant_folder()], ..Scope::default() })
    }

    fn second(&self) -> Second {
        Second::Part
    }

    async fn part(&mut self, _deed: &Deed<'_>) -> Result<Scope, Failure> {
        Ok(Scope {
            leave_out: vec![LeftOut::At(folder())],
            only: Some(vec![folder()]),
            plant: std::iter::once(plant_folder()).chain(self.plant(&PlantedContent::Stream)).collect(),
            ..Scope::default()
        })
    }

    fn streams<'a>(&self, deed: &'a Deed<'_>) -> Option<Box<dyn Streams + 'a>> {
        Some(Box::new(Saying::new(deed, self.dumps.clone())))
    }

    fn consistency(&self) -> Consistency {
        Consistency::Dump
    }
}
