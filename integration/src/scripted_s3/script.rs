//! Faults as data: which requests, and what happens to them.

use std::collections::BTreeMap;
use std::time::Duration;

/// The kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is S3's action of that name")]
pub enum Op {
    Get,
    Head,
    Put,
    Delete,
    List,
    CreateUpload,
    Part,
    Complete,
    Abort,
    ListUploads,
}

/// Which of the requests that a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Every one.
    Always,
    /// From the first of these on, counted from 1, so many.
    From(u64, u64),
    /// About so many of a hundred, the same ones in every run.
    Percent(u8),
}

/// On which side of the effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Nothing was stored or deleted.
    Before,
    /// It was, and nobody hears of it.
    After,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// An error, without the effect.
    Status(u16, &'static str),
    /// Status 200 with an error as its body, without or after the effect.
    ErrorIn200(Side, &'static str),
    /// Status 200 without an `ETag` and with an empty body.
    Hollow(Side),
    /// The connection breaks.
    Reset(Side),
    /// The request is read, and no reply ever comes.
    NoReply,
    /// Not even the request's body is read.
    NoRead,
    /// Status 200 and a space every so often, for ever, without the effect.
    Spaces(Duration),
    /// The reply's body comes at so many bytes a second.
    Slow(u64),
    /// After so many bytes of the reply's body nothing comes any more.
    Stall(u64),
    /// After so many bytes of the reply's body the connection breaks.
    Cut(u64),
    /// A shorter range than asked, named honestly.
    Shorter(u64),
    /// The whole object in place of the range, in a 206 that names the range.
    WholeIn206,
    /// Another range than asked, of the same length, named honestly.
    Shifted(u64),
    /// A part or object is stored without its last bytes.
    StoreShort(u64),
    /// The condition of a PUT is not looked at.
    IgnoreCondition,
}

/// A fault.
#[derive(Debug, Clone)]
pub struct Rule {
    /// For which requests; `None` for all.
    pub op: Option<Op>,
    /// Only keys that contain this.
    pub key_part: String,
    /// Which of them.
    pub when: When,
    /// What happens.
    pub action: Action,
}

impl Rule {
    /// For requests of that kind.
    pub fn new(op: Op, when: When, action: Action) -> Self {
        Self { op: Some(op), key_part: String::new(), when, action }
    }

    /// For every request.
    pub fn all(when: When, action: Action) -> Self {
        Self { op: None, key_part: String::new(), when, action }
    }
}

/// What holds for every request.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Conditions are not looked at.
    pub ignore_conditions: bool,
    /// The server's clock is ahead by so many seconds, and signatures of more than 15 minutes away are refused.
    pub clock_ahead_seconds: Option<i64>,
    /// Deletes and aborts are refused.
    pub deny_deletes: bool,
    /// Writes are refused.
    pub deny_writes: bool,
    /// There is no bucket.
    pub no_bucket: bool,
    /// The bucket is in another region than every request's.
    pub region: Option<&'static str>,
    /// So many bytes fit.
    pub quota_bytes: Option<u64>,
    /// Lists repeat the end of the page before, and each page is backwards.
    pub messy_lists: bool,
}

/// What has happened.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Requests by kind.
    pub requests: BTreeMap<Op, u64>,
    /// Bytes of bodies that came in.
    pub bytes_in: u64,
    /// Bytes of bodies that were made to go out.
    pub bytes_out: u64,
}

/// The rules, the settings and the counters.
#[derive(Debug, Default)]
pub(super) struct Script {
    rules: Vec<(Rule, u64)>,
    dice: u64,
    pub(super) settings: Settings,
    pub(super) counters: Counters,
}

impl Script {
    pub(super) fn rule(&mut self, rule: Rule) {
        self.rules.push((rule, 0));
    }

    pub(super) fn forget(&mut self) {
        self.rules.clear();
    }

    /// Counts a request, and says what happens to it. The first rule that is due counts.
    pub(super) fn action(&mut self, op: Op, key: &str) -> Option<Action> {
        *self.counters.requests.entry(op).or_default() += 1;
        let mut found = None;
        for (rule, seen) in &mut self.rules {
            if rule.op.is_some_and(|wanted| wanted != op) || !key.contains(&rule.key_part) {
                continue;
            }
            *seen += 1;
            let due = match rule.when {
                When::Always => true,
                When::From(first, times) => *seen >= first && *seen - first < times,
                When::Percent(percent) => {
                    self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
                    (self.dice >> 33) % 100 < u64::from(percent)
                }
            };
            if due && found.is_none() {
                found = Some(rule.action.clone());
            }
        }
        found
    }
}
