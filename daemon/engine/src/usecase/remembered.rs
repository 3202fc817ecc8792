//! What is remembered of the sources that were under a policy, for when policies or Docker cannot be looked at: nothing then
//! tells what should be, and people want to know all the more what there is.
//!
//! Always true: nobody but the catalog and the ledger is asked, and what only a policy could say is left open.

use crate::failure::Failure;
use crate::usecase::health::Health;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::ledger::Ledger;

/// Each source that was there when policies were last looked at, in the order of names.
pub fn remembered(host: &Host, ledger: &Ledger) -> Result<Vec<Health>, Failure> {
    let (now, own) = (host.clock().now(), &host.settings().host);
    let latest = host.catalog().latest_snapshots(own, None);
    let latest = latest.map_err(|e| catalog_failure("look up what was backed up", e))?;
    let there = ledger.sources.iter().filter(|(_, entry)| entry.gone.is_none());
    let remembered = there.map(|(source, entry)| {
        // Nobody says which store is the right one now.
        let last_good = latest.values().filter_map(|of_store| of_store.get(source)).max().copied();
        Health {
            source: source.to_string(),
            policy: entry.policy.clone(),
            last_good,
            age_seconds: last_good.map(|at| now.duration_since(at).as_secs()),
            last_seconds: None,
            last_bytes: None,
            next: None,
            overdue: false,
            failures: 0,
            message: None,
            running: None,
            held: None,
            pruned_at: None,
            unpruned: None,
            drill: None,
        }
    });
    Ok(remembered.collect())
}
