//! What lies in the store beside packs: names, manifests, keys. `FORMAT.md` is the whole of it.

pub mod key;
pub mod manifest;
pub mod names;
pub mod owner;
pub mod signed;
