//! A drill that a policy wants, and that nobody waits for.

use super::plan::{DrillRequest, plan_drill};
use super::rehearsal::drill;
use super::verdict::DrillReport;
use crate::catalog::Verb;
use crate::failure::Failure;
use crate::format::names::Lineage;
use crate::lock::LockOn;
use crate::usecase::host::Host;
use crate::usecase::run::Run;
use crate::usecase::watch::Watch;

/// Plans a drill and carries it out. A plan that cannot be made is a run as well: so it is told to people, and is not
/// tried again a minute later.
pub async fn rehearse(
    host: &Host,
    request: &DrillRequest,
    watch: &dyn Watch,
) -> Result<DrillReport, Failure> {
    let failure = match plan_drill(host, request).await {
        Ok(plan) => return drill(host, plan, watch).await,
        Err(failure) => failure,
    };
    let whose = request.host.clone().unwrap_or_else(|| host.settings().host.clone());
    let lineage = Lineage { host: whose, source: request.source.clone() };
    let run = Run::begin_on(host, Verb::Drill, &lineage, Some(LockOn::Drill(lineage.clone())), None)?;
    run.end(Err(failure))
}
