//! One host on twins: a real state folder, a store in memory, an engine whose volumes are folders.

pub(crate) mod inside;
pub(crate) mod tree;
pub(crate) mod world;
