//! Our own deadline for each try: a body must move, a reply must come.
//!
//! One clock for everything that can hang. A fixed deadline for a whole transfer would be wrong for every line
//! but one; what is bounded is the time in which too little moves. The SDK's own stall detection is off, since it
//! also counts the time in which the caller is slow.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::super::limits::{KIB, Limits};
use crate::port::clock::Clock;

/// A body is handed to the connection in slices of this size, so that its progress can be seen.
const SLICE_BYTES: u64 = 64 * KIB;

/// How far one try has come. Written by the bodies, read by the watch.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    to_send: AtomicU64,
    moved: AtomicU64,
    replied: AtomicBool,
    patient: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Sending,
    Waiting,
    Receiving,
}

impl Progress {
    /// The reply's headers are here; from now on its body must move.
    pub(super) fn replied(&self) {
        self.0.replied.store(true, Ordering::Relaxed);
    }

    /// The server may take long before it replies.
    pub(super) fn patient(&self) {
        self.0.patient.store(true, Ordering::Relaxed);
    }

    pub(super) fn moved(&self, bytes: usize) {
        self.0.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn read(&self) -> (Phase, u64) {
        let moved = self.0.moved.load(Ordering::Relaxed);
        let phase = if self.0.replied.load(Ordering::Relaxed) {
            Phase::Receiving
        } else if moved < self.0.to_send.load(Ordering::Relaxed) {
            Phase::Sending
        } else {
            Phase::Waiting
        };
        (phase, moved)
    }

    /// Returns, in words, when the try has hung too long.
    pub(super) async fn stalled(&self, clock: &dyn Clock, limits: &Limits) -> String {
        let reply = match self.0.patient.load(Ordering::Relaxed) {
            true => limits.complete_reply,
            false => limits.reply,
        };
        let tick = (limits.stall.min(reply) / 8).max(Duration::from_millis(1));
        let (mut phase, mut mark) = self.read();
        let mut since = clock.elapsed();
        loop {
            clock.sleep(tick).await;
            let (current, moved) = self.read();
            let idle = clock.elapsed().saturating_sub(since);
            if current != phase || moved >= mark.saturating_add(limits.stall_bytes) {
                (phase, mark, since) = (current, moved, clock.elapsed());
                continue;
            }
            let few = moved - mark;
            match phase {
                Phase::Waiting if idle >= reply => return format!("no reply within {reply:?}"),
                Phase::Sending if idle >= limits.stall => {
                    return format!("only {few} bytes could be sent within {idle:.1?}");
                }
                Phase::Receiving if idle >= limits.stall => {
                    return format!("only {few} bytes came within {idle:.1?}");
                }
                Phase::Waiting | Phase::Sending | Phase::Receiving => {}
            }
        }
    }
}

/// Counts the request's body on its way out. Runs after signing, so it changes no byte.
#[derive(Debug)]
pub(super) struct Watched(pub(super) Progress);

impl Intercept for Watched {
    fn name(&self) -> &'static str {
        "Watched"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = std::mem::replace(context.request_mut().body_mut(), SdkBody::taken());
        let counts = self.0.clone();
        counts.0.to_send.store(body.content_length().unwrap_or(0), Ordering::Relaxed);
        let body = match body.content_length() {
            Some(0) | None => body,
            Some(_) => SdkBody::from_body_1_x(Counted { body, left: Bytes::new(), counts }),
        };
        *context.request_mut().body_mut() = body;
        Ok(())
    }
}

struct Counted {
    body: SdkBody,
    left: Bytes,
    counts: Progress,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted(..)")
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => self.left = bytes,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Poll::Ready(end) => return Poll::Ready(end),
                Poll::Pending => return Poll::Pending,
            }
        }
        let slice = usize::try_from(SLICE_BYTES).map_or(self.left.len(), |max| max.min(self.left.len()));
        let slice = self.left.split_to(slice);
        self.counts.moved(slice.len());
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.left.len() as u64;
        let inner = Body::size_hint(&self.body);
        let mut hint = SizeHint::new();
        hint.set_lower(left + inner.lower());
        if let Some(upper) = inner.upper() {
            hint.set_upper(left + upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::clock::SystemClock;

    fn limits() -> Limits {
        Limits {
            reply: Duration::from_millis(80),
            complete_reply: Duration::from_millis(300),
            stall: Duration::from_millis(40),
            stall_bytes: 100,
            ..Limits::default()
        }
    }

    #[tokio::test]
    async fn what_hangs_is_named() {
        let clock = SystemClock::start();
        let waiting = Progress::default();
        assert_eq!(waiting.stalled(&clock, &limits()).await, "no reply within 80ms");

        waiting.patient();
        assert_eq!(waiting.stalled(&clock, &limits()).await, "no reply within 300ms");

        let sending = Progress::default();
        sending.0.to_send.store(1_000, Ordering::Relaxed);
        sending.moved(7);
        assert!(sending.stalled(&clock, &limits()).await.starts_with("only 0 bytes could be sent within"));

        sending.replied();
        assert!(sending.stalled(&clock, &limits()).await.starts_with("only 0 bytes came within"));
    }

    #[tokio::test]
    async fn a_trickle_is_a_stall_and_a_slow_line_is_not() {
        // Two dozen steps make up for one that a busy machine delays.
        let clock = SystemClock::start();
        let limits = Limits { stall: Duration::from_millis(600), ..limits() };
        for (step, hangs) in [(1, true), (60, false)] {
            let progress = Progress::default();
            progress.replied();
            let moving = async {
                for _ in 0..60 {
                    clock.sleep(Duration::from_millis(25)).await;
                    progress.moved(step);
                }
            };
            tokio::select! {
                _words = progress.stalled(&clock, &limits) => assert!(hangs, "{step}"),
                () = moving => assert!(!hangs, "{step}"),
            }
        }
    }
}
