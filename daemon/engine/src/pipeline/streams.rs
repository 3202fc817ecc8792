//! Streams that go into a snapshot as files: where the next bytes come from that a helper asks for.

use archive::path::TreePath;
use async_trait::async_trait;

use crate::failure::Failure;

/// Gives them piece by piece.
#[async_trait]
pub trait Streams: Send {
    /// The next bytes of the stream at `path`, [`archive::pages::CHUNK_BYTES`] of them. Fewer are its last, and are given
    /// only once it is known that the stream has ended as it should.
    async fn next(&mut self, path: &TreePath) -> Result<Vec<u8>, Failure>;
}
