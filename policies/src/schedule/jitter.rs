//! Spreads hosts that share a policy, so that they do not all call on the store in the same second.
//!
//! Always true: the delay depends on nothing but host, policy and slot; it is shorter than the policy's limit, and than
//! half the way to the next slot, so that a slot has time to start before the next comes.

use jiff::SignedDuration;

/// The delay of one policy on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter {
    most: SignedDuration,
    /// Where in the range of delays this host stands: that many parts of 2^64.
    place: u64,
}

impl Jitter {
    /// No delay.
    pub const NONE: Self = Self { most: SignedDuration::ZERO, place: 0 };

    /// A delay below `most`; nothing below zero is a delay.
    #[must_use]
    pub fn new(host: &str, policy: &str, most: SignedDuration) -> Self {
        // A byte that no name holds parts them, so that `a`, `bc` and `ab`, `c` differ.
        let bytes = host.bytes().chain([0xff]).chain(policy.bytes());
        // FNV-1a, then the last steps of MurmurHash3: the first alone leaves its upper bits too much alike.
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let mut place = bytes.fold(0xcbf2_9ce4_8422_2325, fold);
        place = (place ^ (place >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        place = (place ^ (place >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        Self { most: most.max(SignedDuration::ZERO), place: place ^ (place >> 33) }
    }

    /// How long after a slot the run starts, in whole seconds, when the next slot is `to_next` away.
    pub(super) fn delay(self, to_next: Option<SignedDuration>) -> SignedDuration {
        let range = to_next.map_or(self.most, |to_next| self.most.min(to_next / 2));
        let seconds = u128::try_from(range.as_secs()).unwrap_or(0);
        let delay = (u128::from(self.place) * seconds) >> 64;
        SignedDuration::from_secs(i64::try_from(delay).unwrap_or(0))
    }
}
