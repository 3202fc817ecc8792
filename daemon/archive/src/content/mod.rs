//! The content of a file: what it hashes to, and what of it is new.

mod changes;
mod draft;
mod hashes;
mod laid;
mod pieces;

pub(crate) use self::changes::{Changes, Source};
pub(crate) use self::hashes::FileHashes;
pub(crate) use self::laid::{Laid, clip};
