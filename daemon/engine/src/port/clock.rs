//! Time, as the core sees it.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

/// Tells the time and waits.
///
/// `now` may jump: people and NTP set clocks. Order and age come from recorded times; bounds and rates from
/// `elapsed`, which never goes back. Nothing else in the core reads a clock.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment of this process; never goes back.
    fn elapsed(&self) -> Duration;

    /// Returns after `span` of `elapsed` time.
    async fn sleep(&self, span: Duration);
}
