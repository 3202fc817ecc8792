//! Every bound of the store adapters, each with its reason. Tests make them small; nothing else changes them.

use std::time::Duration;

/// One kibibyte, mebibyte, gibibyte.
pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

/// S3 takes no part above this (5 GiB), whoever the provider.
pub(crate) const PART_BYTES_MAX: u64 = 5 * GIB;

/// S3's own bound on the parts of one object. Some providers allow only 1,000: `part_cap` in the store's URL.
pub(crate) const PARTS_MAX: u32 = 10_000;

/// The most we take of a message that a server wrote, into an error: enough to recognise it.
pub(crate) const MESSAGE_CHARS_MAX: usize = 300;

/// How long a call may take, how often it is tried, and how much it may hold in memory.
#[derive(Debug, Clone)]
pub struct Limits {
    /// To resolve, connect and shake hands: more than any healthy network needs, less than a person's patience.
    pub connect: Duration,
    /// From the last request byte to the first reply byte. A busy SeaweedFS answers a large part after seconds.
    pub reply: Duration,
    /// The same for joining parts: the S3 documentation says that it can take minutes.
    pub complete_reply: Duration,
    /// A body that moves less than `stall_bytes` in this time is given up, in both directions.
    pub stall: Duration,
    /// Below this much in `stall`, a line is of no use: 8 MiB would take a quarter of an hour.
    pub stall_bytes: u64,
    /// No try begins later than this after the first one began: an outage of some minutes is survived, a longer
    /// one is an alarm and not a wait.
    pub budget: Duration,
    /// Tries of one call, however fast they fail.
    pub tries_max: u32,
    /// The longest first wait; each following one may be twice as long. The wait is random below that.
    pub backoff_first: Duration,
    /// The longest wait of all.
    pub backoff_max: Duration,
    /// The first part's size, and the size below which an object goes up in a single request. Large enough that
    /// a request's latency does not matter, small enough to try again.
    pub part_bytes: u64,
    /// Parts of one upload in memory: two hide the latency, four fill a line with loss.
    pub parts_held: usize,
    /// Bytes of one upload in memory. Of parts that are more than half of it there are two; one that is beyond it goes up
    /// before the next is filled.
    pub held_bytes: u64,
    /// A ranged read longer than this is fetched in pieces of this size.
    pub piece_bytes: u64,
    /// Pieces of one ranged read in flight.
    pub pieces_in_flight: usize,
    /// Pages of one listing: a server that never ends its list must not keep us for ever. A thousand keys each.
    pub pages_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            reply: Duration::from_secs(60),
            complete_reply: Duration::from_secs(300),
            stall: Duration::from_secs(30),
            stall_bytes: 256 * KIB,
            budget: Duration::from_secs(300),
            tries_max: 10,
            backoff_first: Duration::from_millis(200),
            backoff_max: Duration::from_secs(20),
            part_bytes: 8 * MIB,
            parts_held: 4,
            held_bytes: 256 * MIB,
            piece_bytes: 8 * MIB,
            pieces_in_flight: 4,
            pages_max: 20_000,
        }
    }
}
