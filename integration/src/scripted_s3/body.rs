//! Bodies of replies: whole, or as slow and as broken as the script wants them.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use super::objects::Slice;

/// How often a slow body lets something out.
const SLOW_STEP: Duration = Duration::from_millis(10);

/// Where a body stops being whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Whole,
    /// Nothing comes after so many bytes.
    Stall(u64),
    /// The connection breaks after so many bytes.
    Cut(u64),
    /// The connection breaks now.
    Broken,
    /// So many bytes a second.
    Slow(u64),
    /// A space every so often, for ever.
    Spaces(Duration),
}

/// The body of a reply.
pub(super) struct Reply {
    slices: VecDeque<Slice>,
    fate: Fate,
    sent: u64,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Reply {
    pub(super) fn new(slices: Vec<Slice>, fate: Fate) -> Self {
        Self { slices: slices.into(), fate, sent: 0, wait: None }
    }

    fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self.slices.pop_front() {
            None => Ok(None),
            Some(slice) => slice.bytes().map(Some),
        }
    }

    /// At most `max` bytes; the rest comes the next time.
    fn some(&mut self, max: u64) -> io::Result<Option<Bytes>> {
        let Some(mut bytes) = self.next()? else { return Ok(None) };
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        if bytes.len() > max {
            let rest = bytes.split_off(max);
            self.slices.push_front(Slice::Memory(rest));
        }
        self.sent += bytes.len() as u64;
        Ok(Some(bytes))
    }

    fn step(&mut self) -> Poll<io::Result<Option<Bytes>>> {
        match self.fate {
            Fate::Whole => Poll::Ready(self.some(u64::MAX)),
            Fate::Stall(after) if self.sent >= after => Poll::Pending,
            // What came before must be on its way first: hyper throws away what it has not flushed.
            Fate::Cut(after) if self.sent >= after => {
                self.fate = Fate::Broken;
                self.wait = Some(Box::pin(sleep(SLOW_STEP)));
                Poll::Ready(Ok(Some(Bytes::new())))
            }
            Fate::Broken => Poll::Ready(Err(io::Error::other("cut by the script"))),
            Fate::Stall(after) | Fate::Cut(after) => Poll::Ready(self.some(after - self.sent)),
            Fate::Slow(rate) => {
                self.wait = Some(Box::pin(sleep(SLOW_STEP)));
                Poll::Ready(self.some((rate / 100).max(1)))
            }
            Fate::Spaces(every) => {
                self.wait = Some(Box::pin(sleep(every)));
                Poll::Ready(Ok(Some(Bytes::from_static(b" "))))
            }
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(wait) = &mut self.wait {
            match wait.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => self.wait = None,
            }
        }
        match self.step() {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(None)) => Poll::Ready(None),
            Poll::Ready(Ok(Some(bytes))) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.slices.is_empty() && self.fate == Fate::Whole
    }
}
