//! Plant a small tree.
#![expect(missing_docs, reason = "types only; replaced by the use case")]
use archive::path::TreePath;

use super::host::Host;
use crate::failure::Failure;

pub enum PlantedContent {
    Folder,
    File(Vec<u8>),
    Symlink(Vec<u8>),
}

pub struct Planted {
    pub path: TreePath,
    pub mode: u32,
    pub content: PlantedContent,
}

pub async fn plant(_host: &Host, _volume: &str, _tree: &[Planted]) -> Result<u64, Failure> {
    Err(Failure::failed("not in this build"))
}

pub async fn uproot(_host: &Host, _volume: &str) -> Result<(), Failure> {
    Err(Failure::failed("not in this build"))
}
