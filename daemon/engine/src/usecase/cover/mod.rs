//! What this host has that could be backed up, and what its policies say about each of it.
//!
//! Always true: policies count as a whole folder or not at all, and every source gets exactly one verdict.
//! Nothing here creates, changes or remembers anything.

mod describe;
mod mounted;
mod policy_files;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;

use policies::policy::{Folder, Policy};
use policies::select::{Missing, Outcome, Source, choose, missing};

pub use policy_files::{Trust, Unread, read_folder};

use crate::absent::is_absent;
use crate::failure::Failure;
use crate::usecase::blame;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::scratch::is_scratch;

/// Where policies are, and what else of the host may be a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The folder of policies.
    pub policies: PathBuf,
    /// Somebody named that folder, so it must be there.
    pub named: bool,
    /// Bind mounts at or below these folders are sources.
    pub folders: Vec<PathBuf>,
}

impl Places {
    /// Nobody named a folder, and where it usually is nothing was ever put.
    pub fn are_left_out(&self) -> bool {
        !self.named && is_absent(&self.policies)
    }
}

/// The policies of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// All of them.
    pub folder: Folder,
    /// There is no folder, so the shipped `default` stands in, for labelled volumes.
    pub shipped: bool,
}

impl Policies {
    /// There is none, not even one that says that nothing is to be backed up.
    pub fn is_empty(&self) -> bool {
        self.folder.policies().is_empty()
    }
}

/// Sources, and what covers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// The policies.
    pub policies: Policies,
    /// Every source of this host, in the order of their names.
    pub sources: Vec<Source>,
}

impl Cover {
    /// The verdict on each source.
    pub fn outcomes(&self) -> Vec<Outcome<'_>> {
        choose(&self.policies.folder, &self.sources)
    }

    /// What policies name and this host does not have.
    pub fn missing(&self) -> Vec<Missing> {
        missing(&self.policies.folder, &self.sources)
    }

    /// The policy of that name.
    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.folder.find(name)
    }

    /// Whether a policy went with all others. Whoever removes one policy means it; that none is there any more says
    /// nothing of what is wanted.
    pub fn is_lost(&self, policy: &str) -> bool {
        (self.policies.shipped || self.policies.is_empty()) && self.policy(policy).is_none()
    }
}

/// Reads the policies of this host; without a folder, the shipped ones.
///
/// # Errors
///
/// All that is wrong with any file, at once.
pub fn policies(places: &Places) -> Result<Policies, Unread> {
    if places.are_left_out() {
        let folder = policies::shipped::without_folder().map_err(Unread::Files)?;
        return Ok(Policies { folder, shipped: true });
    }
    let folder = read_folder(&places.policies, Trust::Owned)?;
    Ok(Policies { folder, shipped: false })
}

/// Everything on this host that could be backed up.
pub async fn sources(host: &Host, places: &Places) -> Result<Vec<Source>, Failure> {
    let what = "look for sources";
    let docker = host.docker().await?;
    let mut volumes = docker.volumes().await.map_err(|e| blame::docker(what, e))?;
    volumes.retain(|volume| !is_scratch(volume));
    let containers = docker.containers().await.map_err(|e| blame::docker(what, e))?;
    let known = host.catalog().backed_up(&host.settings().host).map_err(|e| catalog_failure(what, e))?;
    let known: BTreeSet<String> = known.into_iter().map(|source| source.to_string()).collect();
    let files = mounted::files(&containers, &places.folders).await;
    Ok(describe::describe(&volumes, &containers, &places.folders, &files, &known))
}

/// Both together.
pub async fn cover(host: &Host, places: &Places) -> Result<Cover, Failure> {
    Ok(Cover { policies: policies(places)?, sources: sources(host, places).await? })
}
