//! `backupctl policy show`: what holds, defaults among it.

use engine::failure::Failure;
use engine::usecase::cover::{Policies, policies};
use policies::policy::{Consistency, Dump, Keep, Policy, Rule, Terms, print_time};
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
    let mut table = Table::new(&columns).spare(&["ZONE"]);
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
    lines.extend(programs(consistency));
    if let Some(store) = &terms.store {
        lines.push(("store", store.clone()));
    }
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
        let image = drill.image.as_ref().map(|image| format!(", on {image}")).unwrap_or_default();
        let with = match &drill.arguments[..] {
            [] => String::new(),
            own => format!(", with {own:?}"),
        };
        let (memory, timeout) = (units::bytes(drill.memory_bytes), print_time(drill.timeout));
        let every = print_time(drill.every);
        lines.push(("drill", format!("every {every}, within {timeout} and {memory} of memory{image}{with}")));
    }
    let line = |(key, said): (&str, String)| format!("{key:<12} {}\n", plain::line(&said));
    lines.into_iter().map(line).collect()
}

/// What is run in containers, as the file has it: each is a program and its arguments, and no line for a shell.
fn programs(consistency: &Consistency) -> Vec<(&'static str, String)> {
    let hooks = [("before", &consistency.before), ("after", &consistency.after)];
    let hooks = hooks.into_iter().filter(|(_, run)| !run.is_empty());
    let mut lines: Vec<_> = hooks.map(|(key, run)| (key, format!("{run:?}"))).collect();
    lines.extend(consistency.dumps.iter().map(|one| ("dump", dump(one))));
    if consistency.only && !consistency.dumps.is_empty() {
        lines.push(("only", "dumps; the source's own files are left out".to_owned()));
    }
    lines
}

/// What becomes which file, where, and as whom.
fn dump(dump: &Dump) -> String {
    let mut said = format!("{}: {:?}", dump.file, dump.run);
    let container = dump.container.as_ref().map(|name| format!(" in container `{name}`"));
    let service = dump.service.as_ref().map(|name| format!(" in service `{name}`"));
    said.extend(container.or(service));
    said.extend(dump.user.as_ref().map(|user| format!(", as `{user}`")));
    // Where a secret lies is the file's to tell.
    said.extend(dump.environment.iter().map(|secret| format!(", with `{}`", secret.name)));
    said
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

fn dump_value(dump: &Dump) -> Value {
    json!({ "file": dump.file, "run": dump.run, "container": dump.container, "service": dump.service })
}

fn value(policy: &Policy) -> Value {
    match &policy.rule {
        Rule::BackUp(terms) => json!({
            "policy": policy.name, "schedule": terms.schedule.to_string(), "time_zone": zone(terms),
            "jitter_seconds": terms.jitter.as_secs(), "mode": terms.consistency.mode.word(),
            "keep": keeps(terms.keep.as_ref()), "store": terms.store,
            "before": terms.consistency.before, "after": terms.consistency.after,
            "dumps": terms.consistency.dumps.iter().map(dump_value).collect::<Vec<_>>(),
        }),
        Rule::Nothing { because } => json!({ "policy": policy.name, "nothing": because }),
    }
}
