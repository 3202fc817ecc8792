//! `backupctl policy plan`: what a change of policies would change on this host.

use std::path::Path;

use engine::failure::Failure;
use engine::usecase::cover::{Trust, cover, read_folder};
use policies::plan::{Change, Effect, Plan, plan};
use serde_json::{Value, json};

use crate::screen::paint::{Paint, Style};
use crate::screen::plain;
use crate::session::{Ending, Session};

pub(crate) async fn run(dir: &Path, session: &Session) -> Result<Ending, Failure> {
    let after = read_folder(dir, Trust::Anybodys)?;
    let host = session.open().await?;
    let now = cover(&host, &session.places()?).await?;
    let plan = plan(&now.policies.folder, &after, &now.sources);
    let screen = &session.screen;
    if screen.is_json() {
        screen.value(&value(&plan))?;
    } else {
        screen.result(&text(&plan, screen.paint()))?;
    }
    Ok(Ending::Done)
}

fn text(plan: &Plan, paint: Paint) -> String {
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
    let lists = [("added", &plan.added), ("removed", &plan.removed), ("edited", &plan.edited)];
    for (word, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        out += &format!("policies {word}: {}\n", plain::line(&names.join(", ")));
    }
    if out.is_empty() { "nothing would change\n".to_owned() } else { out }
}

fn value(plan: &Plan) -> Value {
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
    json!({ "changes": changes, "added": plan.added, "removed": plan.removed, "edited": plan.edited })
}

#[cfg(test)]
mod tests {
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
        let said = text(&plan, Paint::OFF);
        let starts =
            ["`a` stops being backed up by policy `old`: ", "`b` starts to be backed up, by policy `new`"];
        assert!(said.lines().zip(starts).all(|(line, start)| line.starts_with(start)), "{said}");
        assert!(said.ends_with("policies added: new\npolicies removed: old\n"), "{said}");
        assert_eq!(value(&plan)["changes"][0]["effect"], "stops");
        assert_eq!(text(&Plan::default(), Paint::OFF), "nothing would change\n");
    }
}
