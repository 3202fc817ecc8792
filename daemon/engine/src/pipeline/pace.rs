//! How fast a run may send: a bucket of bytes that fills with time.
//!
//! Always true: over any span no more is let through than the rate gives in it, half a second of it and one piece.

use std::time::Duration;

use crate::port::clock::Clock;

/// What may go at once after a pause, as the time in which the rate gives it.
const BURST: Duration = Duration::from_millis(500);

/// Says how long each piece has to wait.
#[derive(Debug)]
struct Bucket {
    bytes_per_second: u64,
    /// When all that was let through is paid for.
    paid: Duration,
}

impl Bucket {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), paid: Duration::ZERO }
    }

    /// Takes `bytes` at `now`; they may go after the time that this gives.
    fn take(&mut self, bytes: usize, now: Duration) -> Duration {
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        let price = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // What was not used goes no further back than a burst.
        let from = self.paid.max(now.saturating_sub(BURST));
        self.paid = from.saturating_add(price);
        self.paid.saturating_sub(now)
    }
}

/// Holds pieces back until they may go.
pub struct Pace<'a> {
    clock: &'a dyn Clock,
    bucket: Option<Bucket>,
}

impl<'a> Pace<'a> {
    /// At most so many bytes a second; no limit if `None`.
    pub fn new(clock: &'a dyn Clock, bytes_per_second: Option<u64>) -> Self {
        Self { clock, bucket: bytes_per_second.map(Bucket::new) }
    }

    /// Returns when so many bytes may go.
    pub(crate) async fn wait(&mut self, bytes: usize) {
        let Some(bucket) = &mut self.bucket else { return };
        let wait = bucket.take(bytes, self.clock.elapsed());
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn the_rate_holds_and_a_pause_buys_no_more_than_a_burst() {
        let mut bucket = Bucket::new(4 << 20);
        let second = Duration::from_secs;
        assert_eq!(bucket.take(4 * MIB, second(0)), second(1));
        assert_eq!(bucket.take(4 * MIB, second(1)), second(1));
        assert_eq!(bucket.take(MIB, second(2)), Duration::from_millis(250));
        // An hour of silence, then half a second's worth at once.
        assert_eq!(bucket.take(2 * MIB, second(3600)), Duration::ZERO);
        assert_eq!(bucket.take(4 * MIB, second(3600)), second(1));
    }

    #[test]
    fn absurd_rates_neither_panic_nor_let_through() {
        assert_eq!(Bucket::new(0).take(usize::MAX, Duration::ZERO), Duration::from_nanos(u64::MAX));
        assert_eq!(Bucket::new(u64::MAX).take(4 * MIB, Duration::MAX), Duration::ZERO);
    }

    /// Time that passes only while somebody sleeps.
    #[derive(Default)]
    struct Asleep(Mutex<Duration>);

    #[async_trait]
    impl Clock for Asleep {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn elapsed(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        async fn sleep(&self, span: Duration) {
            *self.0.lock().unwrap() += span;
        }
    }

    #[tokio::test]
    async fn pieces_are_held_back_by_the_clock_of_the_host() {
        for (rate, want) in [(Some(1 << 20), 12), (Some(4 << 20), 3), (None, 0)] {
            let clock = Asleep::default();
            let mut pace = Pace::new(&clock, rate);
            for _ in 0..6 {
                pace.wait(2 * MIB).await;
            }
            assert_eq!(clock.elapsed(), Duration::from_secs(want), "{rate:?}");
        }
    }

    proptest! {
        #[test]
        fn no_span_lets_more_through(
            rate in 1_024..1_000_000_000_u64,
            pieces in proptest::collection::vec((0..4 * MIB, 0..5_000_u64), 1..60),
        ) {
            let mut bucket = Bucket::new(rate);
            let (mut now, mut sent) = (Duration::ZERO, Vec::new());
            for (bytes, pause) in pieces {
                now += Duration::from_millis(pause);
                now += bucket.take(bytes, now);
                sent.push((now, bytes as u64));
            }
            for from in 0..sent.len() {
                for to in from..sent.len() {
                    let span = (sent[to].0 - sent[from].0 + BURST).as_secs_f64();
                    let bytes: u64 = sent[from + 1..=to].iter().map(|(_, bytes)| bytes).sum();
                    prop_assert!((bytes as f64) <= rate as f64 * span + 1.0, "{from}..{to}");
                }
            }
        }
    }
}
