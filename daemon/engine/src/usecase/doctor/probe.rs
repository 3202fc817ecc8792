//! What a store lets us do, tried with one small object of our own: may this key write, may it delete, and do its clock
//! and ours agree?
//!
//! Always true: the object is no snapshot to anybody; it has one name, so there is never more than one of it.

use bytes::Bytes;

use super::Check;
use crate::port::store::{Put, Store, StoreErrorKind};
use crate::usecase::blame;
use crate::usecase::host::Host;

/// Servers refuse requests from fifteen minutes on; somebody should know long before.
const SKEW_SECONDS_MAX: u64 = 60;

/// Tries it, beside what this host has there already.
pub(super) async fn probe(host: &Host, store: &dyn Store) -> Vec<Check> {
    let key = format!("{}/.backupd-doctor", host.settings().host);
    if let Err(e) = store.put(&key, Bytes::from_static(b"doctor"), Put::Replace).await {
        return vec![Check::bad("writing", &blame::store("write a small object", e))];
    }
    let mut checks = vec![Check::good("writing", "allowed")];
    checks.extend(clock(host, store, &key).await);
    checks.push(match store.delete(&key).await {
        Ok(()) => Check::good("deleting", "allowed, so `prune` frees space"),
        // Keys that may not delete are good practice.
        Err(e) if e.kind == StoreErrorKind::Denied => Check::good(
            "deleting",
            "not allowed: nobody who gets this key destroys a snapshot, and what is pruned stays until another key removes it",
        ),
        Err(e) => Check::bad("deleting", &blame::store("delete a small object", e)),
    });
    checks
}

/// `None` where the store tells no times.
async fn clock(host: &Host, store: &dyn Store, key: &str) -> Option<Check> {
    const WHAT: &str = "clock";
    let found = match store.head(key).await {
        Ok(found) => found?,
        Err(e) => return Some(Check::bad(WHAT, &blame::store("look at a small object", e))),
    };
    let apart = host.clock().now().as_second() - found.modified?.as_second();
    if apart.unsigned_abs() <= SKEW_SECONDS_MAX {
        return Some(Check::good(WHAT, "agrees with the store's"));
    }
    let side = if apart < 0 { "behind" } else { "ahead of" };
    let found = format!("{} s {side} the store's", apart.unsigned_abs());
    Some(Check::warning(WHAT, found, "set this host's clock (`timedatectl set-ntp true`), or the store's"))
}
