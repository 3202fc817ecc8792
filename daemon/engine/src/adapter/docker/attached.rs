//! The channel through the engine itself, where no socket can be shared: standard input and output.
//!
//! Five to ten times slower than a socket. It may lose its tail and still close politely, or never close at
//! all; the protocol's last record is what tells the end, and whoever has read it drops the connection.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bytes::{Buf as _, Bytes};
use futures_util::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use crate::port::exec::LAST_WORDS_BYTES;

/// The end of what the other side wrote to standard error: empty, or why it ended.
#[derive(Debug, Clone, Default)]
pub(super) struct LastWords(Arc<Mutex<Vec<u8>>>);

impl LastWords {
    /// Keeps the last [`LAST_WORDS_BYTES`] bytes.
    fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let over = kept.len().saturating_sub(LAST_WORDS_BYTES);
        kept.drain(..over);
    }

    /// On one line, without what a terminal would obey.
    pub(super) fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        line.replace(char::is_control, "")
    }
}

/// Standard output as bytes; standard error is set aside.
pub(super) struct Output<S> {
    records: S,
    rest: Bytes,
    words: LastWords,
}

impl<S> Output<S> {
    pub(super) fn of(records: S) -> (Self, LastWords) {
        let words = LastWords::default();
        (Self { records, rest: Bytes::new(), words: words.clone() }, words)
    }
}

impl<S: Stream<Item = Result<LogOutput, Error>> + Unpin> AsyncRead for Output<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.records).poll_next(context)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(LogOutput::StdOut { message })) => self.rest = message,
                Some(Ok(LogOutput::StdErr { message })) => self.words.add(&message),
                // Neither exists without a terminal: the stream is torn, and what follows cannot be told apart.
                Some(Ok(LogOutput::Console { .. } | LogOutput::StdIn { .. })) => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the engine's attach stream is torn",
                    )));
                }
                Some(Err(e)) => return Poll::Ready(Err(io::Error::other(e))),
            }
        }
        let n = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..n]);
        self.rest.advance(n);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn out(bytes: &'static [u8]) -> Result<LogOutput, Error> {
        Ok(LogOutput::StdOut { message: bytes.into() })
    }

    fn err(bytes: &[u8]) -> Result<LogOutput, Error> {
        Ok(LogOutput::StdErr { message: bytes.to_vec().into() })
    }

    #[tokio::test]
    async fn output_is_joined_and_errors_are_set_aside() {
        let records = [out(b"one"), err(b"cannot\nread  \x1b[2Jit\n"), out(b""), out(b"two")];
        let (mut output, words) = Output::of(stream::iter(records));
        let mut got = Vec::new();
        output.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"onetwo");
        assert_eq!(words.text(), "cannot read [2Jit");
    }

    #[tokio::test]
    async fn a_torn_stream_is_an_error_and_not_an_end() {
        let torn = Ok(LogOutput::Console { message: Bytes::from_static(b"?") });
        let (mut output, _words) = Output::of(stream::iter([out(b"one"), torn]));
        let mut got = Vec::new();
        let e = output.read_to_end(&mut got).await.unwrap_err();
        assert_eq!((got.as_slice(), e.kind()), (&b"one"[..], io::ErrorKind::InvalidData));
    }

    #[tokio::test]
    async fn last_words_are_bounded_and_the_last() {
        let records: Vec<_> = (0..100).map(|i| err(format!("{i:0100}\n").as_bytes())).collect();
        let (mut output, words) = Output::of(stream::iter(records));
        output.read_to_end(&mut Vec::new()).await.unwrap();
        assert!(words.text().len() <= LAST_WORDS_BYTES);
        assert!(words.text().ends_with("99"));
    }
}
