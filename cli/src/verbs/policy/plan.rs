//! `backupctl policy plan`: what a change of policies would change on this host.

use std::path::Path;

use engine::failure::Failure;
use engine::usecase::cover::{Cover, Policies, Trust, cover, read_folder};
use engine::usecase::foresight::{Foresight, Move, foresee};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use policies::plan::{Change, Effect, Plan, plan};
use serde_json::{Value, json};

use crate::screen::paint::{Paint, Style};
use crate::screen::{plain, units};
use crate::session::{Ending, Session};

pub(crate) async fn run(dir: &Path, session: &Session) -> Result<Ending, Failure> {
    let after = read_folder(dir, Trust::Anybodys)?;
    let host = session.open().await?;
    let now = cover(&host, &session.places()?).await?;
    let plan = plan(&now.policies.folder, &after, &now.sources);
    let then = Cover { policies: Policies { folder: after, shipped: false }, sources: now.sources.clone() };
    let foresight = foresee(&host, &now, &then).await?;
    let screen = &session.screen;
    if screen.is_json() {
        screen.value(&value(&plan, &foresight))?;
    } else {
        screen.result(&text(&plan, &foresight, screen.zone(), screen.paint()))?;
    }
    Ok(Ending::Done)
}

fn text(plan: &Plan, foresight: &Foresight, zone: &TimeZone, paint: Paint) -> String {
    let mut out = String::new();
    for change in &plan.changes {
        let style = match change.effect() {
            Effect::Starts => Style::Good,
            Effect::Stops => Style::Bad,
            Effect::Moves => Style::Warning,
            Effect::Stays => Style::Plain,
        };
        out += &format!("{}\n", paint.style(&plain::line(&change.to_string()), style));
    }
    let at =
        |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| units::moment_with_zone(at, zone));
    for run in &foresight.runs {
        out += &format!("`{}` would run next {}; as it is: {}\n", run.source, at(run.then), at(run.now));
    }
    for Move { source, now, then } in &foresight.moves {
        let line = format!(
            "`{source}` would go to store {then}, with a full snapshot first; what it has in {now} stays there and is pruned no more"
        );
        out += &format!("{}\n", paint.style(&plain::line(&line), Style::Warning));
    }
    for expiry in &foresight.expires {
        let source = &expiry.source;
        let count = units::counted(expiry.snapshots.len() as u64, "snapshot", "snapshots");
        let line = format!("`{source}` would lose {count}: {}", plain::line(&expiry.snapshots.join(", ")));
        out += &format!("{}\n", paint.style(&line, Style::Warning));
    }
    let lists = [("added", &plan.added), ("removed", &plan.removed), ("edited", &plan.edited)];
    for (word, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        out += &format!("policies {word}: {}\n", plain::line(&names.join(", ")));
    }
    if out.is_empty() { "nothing would change\n".to_owned() } else { out }
}

fn value(plan: &Plan, foresight: &Foresight) -> Value {
    let change = |change: &Change| {
        let effect = match change.effect() {
            Effect::Starts => "starts",
            Effect::Stops => "stops",
            Effect::Moves => "moves",
            Effect::Stays => "stays",
        };
        json!({ "source": change.source, "effect": effect, "message": change.to_string() })
    };
    let changes: Vec<Value> = plan.changes.iter().map(change).collect();
    json!({
        "changes": changes,
        "added": plan.added,
        "removed": plan.removed,
        "edited": plan.edited,
        "runs": foresight.runs,
        "stores": foresight.moves,
        "expires": foresight.expires,
    })
}

#[cfg(test)]
mod tests {
    use engine::usecase::foresight::{Expiry, Move, NextRun};
    use policies::policy::Folder;
    use policies::select::{Source, SourceKind};

    use super::*;

    #[test]
    fn what_stops_and_what_starts_is_said_in_words() {
        let terms = "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\n";
        let folder = |name: &str, volume: &str| {
            Folder::judge([(name, format!("{terms}[select]\nvolumes = [\"{volume}\"]\n"))]).unwrap()
        };
        let source = |name: &str| Source {
            name: name.into(),
            kind: SourceKind::Volume,
            driver: "local".into(),
            labels: std::collections::BTreeMap::new(),
            users: Vec::new(),
        };
        let sources = [source("a"), source("b")];
        let plan = plan(&folder("old.toml", "a"), &folder("new.toml", "b"), &sources);
        let foresight = Foresight {
            runs: vec![NextRun {
                source: "b".parse().unwrap(),
                now: None,
                then: "2026-11-22T02:00:00Z".parse().ok(),
            }],
            moves: vec![Move {
                source: "b".parse().unwrap(),
                now: "s3://b/p".into(),
                then: "file:///srv/s".into(),
            }],
            expires: vec![Expiry {
                source: "c".parse().unwrap(),
                snapshots: vec!["c@3".into(), "c@1".into()],
            }],
        };
        let said = text(&plan, &foresight, &TimeZone::UTC, Paint::OFF);
        let starts =
            ["`a` stops being backed up by policy `old`: ", "`b` starts to be backed up, by policy `new`"];
        assert!(said.lines().zip(starts).all(|(line, start)| line.starts_with(start)), "{said}");
        let end = "\
`b` would run next 2026-11-22 02:00:00 +00:00; as it is: never
`b` would go to store file:///srv/s, with a full snapshot first; what it has in s3://b/p stays there and is pruned no more
`c` would lose 2 snapshots: c@3, c@1
policies added: new
policies removed: old
";
        assert!(said.ends_with(end), "{said}");
        let value = value(&plan, &foresight);
        assert_eq!(value["changes"][0]["effect"], "stops");
        assert_eq!(value["runs"][0], json!({ "source": "b", "now": null, "then": "2026-11-22T02:00:00Z" }));
        let moved = json!({ "source": "b", "now": "s3://b/p", "then": "file:///srv/s" });
        assert_eq!(value["stores"], json!([moved]));
        assert_eq!(value["expires"][0], json!({ "source": "c", "snapshots": ["c@3", "c@1"] }));
        let nothing = text(&Plan::default(), &Foresight::default(), &TimeZone::UTC, Paint::OFF);
        assert_eq!(nothing, "nothing would change\n");
    }
}
