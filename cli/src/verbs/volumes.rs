//! `backupctl volumes`.

use std::collections::BTreeMap;

use engine::failure::Failure;
use engine::usecase::cover::{Cover, cover};
use engine::usecase::suggest::{Looks, suggest};
use policies::policy::{Mode, Rule};
use policies::select::{SourceKind, Verdict};
use serde::Serialize;

use crate::screen::paint::{Paint, Style};
use crate::screen::table::{Cell, Side, Table};
use crate::session::{Ending, Session};

/// List every source of this host, and what its policies decide about it
///
/// Sources are volumes, and bind mounts below the `folders` of the settings. `unprotected` is what nobody
/// said anything about; an `orphan` is a volume without a name that no container uses any more.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl volumes
  backupctl volumes --unprotected
  backupctl volumes --policies ./policies --json")]
pub(crate) struct Args {
    /// Only what is not backed up and nobody decided so
    #[arg(long)]
    unprotected: bool,
}

/// A source.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    source: String,
    kind: &'static str,
    /// `protected`, `decided not`, `unprotected`, `orphan`, `clash`, `unknown policy`.
    verdict: &'static str,
    policy: Option<String>,
    used_by: Vec<String>,
    why: String,
    /// As far as the images of its users and their mount points tell.
    looks_like: Option<String>,
    notes: Vec<String>,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    let cover = cover(&host, &session.places()?).await?;
    let mut lines = lines(&cover, &suggest(&host, &cover).await?);
    lines.retain(|line| !args.unprotected || !matches!(line.verdict, "protected" | "decided not"));
    let screen = &session.screen;
    if screen.is_json() {
        return screen.value(&lines).map(|()| Ending::Done);
    }
    if lines.is_empty() {
        screen.say("none\n");
    } else {
        screen.result(&text(&lines, screen.width(), screen.paint()))?;
    }
    lines.iter().flat_map(|line| &line.notes).for_each(|note| screen.warn(note));
    for missing in cover.missing() {
        screen.warn(&format!("policy `{}`: {}", missing.policy, missing.why));
    }
    Ok(Ending::Done)
}

fn lines(cover: &Cover, looks: &BTreeMap<String, Looks>) -> Vec<Line> {
    let line = |outcome: policies::select::Outcome<'_>| {
        let source = outcome.source;
        let (verdict, policy, why) = match outcome.verdict {
            Verdict::Chosen { policy, why } => ("protected", Some(policy), why),
            Verdict::DecidedNot { why } => ("decided not", None, why),
            Verdict::Unprotected { why } if source.is_orphan() => ("orphan", None, why),
            Verdict::Unprotected { why } => ("unprotected", None, why),
            Verdict::Clash { why, .. } => ("clash", None, why),
            Verdict::UnknownPolicy { why, .. } => ("unknown policy", None, why),
        };
        let looks = looks.get(&source.name);
        let mut notes = outcome.notes;
        notes.extend(
            looks
                .zip(policy.as_deref())
                .and_then(|(looks, policy)| live(cover, looks, policy))
                .map(|says| format!("`{}` {says}", source.name)),
        );
        Line {
            source: source.name.clone(),
            kind: match source.kind {
                SourceKind::Volume => "volume",
                SourceKind::Anonymous => "anonymous",
                SourceKind::Folder { .. } => "folder",
            },
            verdict,
            policy,
            used_by: source.users.iter().map(|user| user.container.clone()).collect(),
            why,
            looks_like: looks.map(|looks| looks.like.clone()),
            notes,
        }
    };
    cover.outcomes().into_iter().map(line).collect()
}

/// What to say of a database that a policy copies while it is written to.
fn live(cover: &Cover, looks: &Looks, policy: &str) -> Option<String> {
    let Rule::BackUp(terms) = &cover.policy(policy)?.rule else { return None };
    (terms.consistency.mode == Mode::Live).then(|| {
        let Looks { like, mode } = looks;
        format!(
            "looks like {like}, and policy `{policy}` says `live`; `mode = \"{}\"` knows how to copy it",
            mode.word()
        )
    })
}

fn text(lines: &[Line], width: Option<usize>, paint: Paint) -> String {
    let columns = [
        ("SOURCE", Side::Left),
        ("KIND", Side::Left),
        ("POLICY", Side::Left),
        ("USED BY", Side::Left),
        ("WHY", Side::Left),
    ];
    let mut table = Table::new(&columns).spare(&["KIND", "USED BY"]);
    for line in lines {
        let policy = match (&line.policy, line.verdict) {
            (Some(policy), _) => Cell::styled(policy, Style::Good),
            (None, "decided not") => Cell::styled("- decided not", Style::Faint),
            (None, "orphan") => Cell::styled("! orphan", Style::Warning),
            (None, verdict) => Cell::styled(&format!("! {verdict}"), Style::Bad),
        };
        let used_by = if line.used_by.is_empty() { "-".to_owned() } else { line.used_by.join(", ") };
        table.row(vec![
            line.source.as_str().into(),
            line.kind.into(),
            policy,
            used_by.into(),
            line.why.as_str().into(),
        ]);
    }
    table.render(width, paint)
}

#[cfg(test)]
mod tests {
    use engine::usecase::cover::Policies;
    use policies::policy::Folder;
    use policies::select::{Source, User};

    use super::*;

    #[test]
    fn each_source_has_its_verdict_and_orphans_are_named() {
        let files = [
            (
                "db.toml",
                "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\n[select]\nvolumes = [\"db\"]\n",
            ),
            ("no.toml", "nothing = \"a cache\"\n[select]\nvolumes = [\"cache\"]\n"),
        ];
        let source = |name: &str, kind, label: Option<&str>| Source {
            name: name.into(),
            kind,
            driver: "local".into(),
            labels: label.map(|label| ("backupd.policy".to_owned(), label.to_owned())).into_iter().collect(),
            users: Vec::new(),
        };
        let user = User { container: "app".into(), labels: BTreeMap::new(), at: "/d".into() };
        let cover = Cover {
            policies: Policies { folder: Folder::judge(files).unwrap(), shipped: false },
            sources: vec![
                Source { users: vec![user], ..source("db", SourceKind::Volume, None) },
                source("cache", SourceKind::Volume, None),
                source("ffff", SourceKind::Anonymous, None),
                source("lost", SourceKind::Volume, None),
                source("odd", SourceKind::Volume, Some("dbb")),
            ],
        };
        let looks = [("db", "MariaDB 10.11"), ("lost", "MySQL")];
        let looks =
            looks.map(|(name, like)| (name.to_owned(), Looks { like: like.to_owned(), mode: Mode::Mysql }));
        let lines = lines(&cover, &looks.into());
        let wide = text(&lines, None, Paint::OFF);
        for want in [
            "SOURCE  KIND       POLICY            USED BY  WHY\n",
            "\ndb      volume     db                app      `volumes",
            "\ncache   volume     - decided not     -        policy `",
            "\nffff    anonymous  ! orphan          -        no container uses it",
            "\nlost    volume     ! unprotected     -        no label and no policy",
            "\nodd     volume     ! unknown policy  -        volume `odd` has label",
        ] {
            assert!(wide.contains(want), "{want}\n{wide}");
        }
        let narrow = text(&lines, Some(64), Paint::OFF);
        let gap = " ".repeat(35);
        let want = format!(
            "\nlost    ! unprotected     -        no label and no policy asks\n{gap}for it: label its volume or\n"
        );
        assert!(narrow.contains(&want), "{narrow}");
        let notes: Vec<_> = lines.iter().flat_map(|line| &line.notes).collect();
        let says = "`db` looks like MariaDB 10.11, and policy `db` says `live`; `mode = \"mysql\"` knows how to copy it";
        assert_eq!(notes, [says]);
        assert_eq!(lines[3].looks_like.as_deref(), Some("MySQL"));
    }
}
