//! `backupctl policy show`: what holds, defaults among it.

use engine::failure::Failure;
use engine::usecase::cover::{Policies, policies};
use policies::policy::{Keep, Policy, Rule, Terms, print_time};
use serde_json::{Value, json};

use crate::screen::paint::Paint;
use crate::screen::plain;
use crate::screen::table::{Side, Table};
use crate::screen::units;
use crate::session::{Ending, Session};

pub(crate) fn run(name: Option<&str>, session: &Session) -> Result<Ending, Failure> {
    let found = policies(&session.places()?)?;
    let screen = &session.screen;
    let Some(name) = name else {
        if screen.is_json() {
            screen.value(&found.folder.policies().iter().map(value).collect::<Vec<_>>())?;
        } else {
            if found.shipped {
                screen.say("there is no folder of policies: `default` stands in, for labelled volumes\n");
            }
            screen.result(&text(&found, screen.width(), screen.paint()))?;
        }
        return Ok(Ending::Done);
    };
    let Some(policy) = found.folder.find(name) else {
        return Err(Failure::not_found(format!("there is no policy `{name}`"))
            .hint("`backupctl policy show` lists those that there are"));
    };
    if screen.is_json() {
        screen.value(&value(policy))?;
    } else {
        screen.result(&whole(policy))?;
    }
    Ok(Ending::Done)
}

fn text(found: &Policies, width: Option<usize>, paint: Paint) -> String {
    let columns =
        [("POLICY", Side::Left), ("SCHEDULE", Side::Left), ("ZONE", Side::Left), ("MODE", Side::Left)];
    let columns = columns.into_iter().chain([("KEEPS", Side::Left)]).collect::<Vec<_>>();
    let mut table = Table::new(&columns, 4);
    for policy in found.folder.policies() {
        let row = match &policy.rule {
            Rule::BackUp(terms) => [
                terms.schedule.to_string(),
                zone(terms).to_owned(),
                terms.consistency.mode.word().to_owned(),
                keeps(terms.keep.as_ref()),
            ],
            Rule::Nothing { because } => {
                ["never".to_owned(), "-".to_owned(), "-".to_owned(), format!("nothing: {because}")]
            }
        };
        table.row(std::iter::once(policy.name.clone().into()).chain(row.map(Into::into)).collect());
    }
    table.render(width, paint)
}

/// A line for each thing that holds.
fn whole(policy: &Policy) -> String {
    let terms = match &policy.rule {
        Rule::BackUp(terms) => terms,
        Rule::Nothing { because } => {
            return plain::line(&format!("{}: nothing is backed up, {because}", policy.name)).into_owned()
                + "\n";
        }
    };
    let consistency = &terms.consistency;
    let mut lines = vec![
        ("policy", policy.name.clone()),
        ("schedule", format!("{}, {}", terms.schedule, zone(terms))),
        ("jitter", print_time(terms.jitter)),
        ("mode", consistency.mode.word().to_owned()),
        ("max_freeze", print_time(consistency.max_freeze)),
        ("keep", keeps(terms.keep.as_ref())),
        ("full_every", print_time(terms.pack.full_every)),
        ("concurrency", terms.limits.concurrency.to_string()),
        ("nice", terms.limits.nice.to_string()),
        (
            "guard",
            format!(
                "{} % of bytes, {} % of files",
                terms.guard.shrink_percent, terms.guard.file_loss_percent
            ),
        ),
    ];
    if let Some(speed) = terms.limits.bandwidth {
        lines.push(("bandwidth", format!("{}/s", units::bytes(speed))));
    }
    if let Some(level) = terms.pack.level {
        lines.push(("level", level.to_string()));
    }
    if let Some(packs) = terms.pack.max_packs {
        lines.push(("max_packs", packs.to_string()));
    }
    if let Some(drill) = &terms.drill {
        lines.push(("drill", format!("every {}", print_time(drill.every))));
    }
    let line = |(key, said): (&str, String)| format!("{key:<12} {}\n", plain::line(&said));
    lines.into_iter().map(line).collect()
}

fn zone(terms: &Terms) -> &str {
    terms.time_zone.iana_name().unwrap_or("UTC")
}

fn keeps(keep: Option<&Keep>) -> String {
    let Some(keep) = keep else { return "everything".to_owned() };
    let counts = [
        ("last", keep.last),
        ("hourly", keep.hourly),
        ("daily", keep.daily),
        ("weekly", keep.weekly),
        ("monthly", keep.monthly),
        ("yearly", keep.yearly),
    ];
    let mut said: Vec<String> =
        counts.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    said.extend(keep.within.map(|within| format!("within {}", print_time(within))));
    said.join(", ")
}

fn value(policy: &Policy) -> Value {
    match &policy.rule {
        Rule::BackUp(terms) => json!({
            "policy": policy.name, "schedule": terms.schedule.to_string(), "time_zone": zone(terms),
            "jitter_seconds": terms.jitter.as_secs(), "mode": terms.consistency.mode.word(),
            "keep": keeps(terms.keep.as_ref()),
        }),
        Rule::Nothing { because } => json!({ "policy": policy.name, "nothing": because }),
    }
}
