//! `backupctl demo`: the tour. It does the real thing on the user's own Docker, in a volume, a store and a
//! state folder of its own, and removes all three whatever happens.

mod place;
mod tree;

use engine::failure::{Class, Failure};
use engine::usecase::backup::{BackupRequest, backup};
use engine::usecase::browse::{diff, ls};
use engine::usecase::host::Host;
use engine::usecase::plant::{plant, uproot};
use engine::usecase::restore::{RestoreRequest, plan_restore, restore};
use engine::usecase::snapshots::{Wanted, WantedHost, snapshots};
use engine::usecase::terms::RunTerms;
use engine::words::{SnapshotName, SourceName};
use policies::policy::Consistency;
use policies::retention::guard::Limits;
use serde_json::json;

use self::place::Place;
use super::{diff as differences, entry, snapshots as table};
use crate::screen::units;
use crate::session::{Ending, Session};

/// Take a tour on your own Docker: back up, destroy, restore, compare
///
/// Makes a small volume and a store in a temporary folder, and removes both in the end, also after a
/// failure or Ctrl-C. Nothing else is touched: your own volumes, store and settings stay out of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_args: &Args, session: &Session) -> Result<Ending, Failure> {
    let place = Place::make()?;
    let toured = Box::pin(visit(&place, session)).await;
    // Success is said only after everything is gone again.
    let removed = place.remove();
    let totals = toured.map_err(with_doctor)?;
    removed?;
    if session.screen.is_json() {
        session.screen.event("done", totals);
    } else {
        session.screen.result("\nThat was all: the volume and the store of this tour are gone again.\n")?;
    }
    Ok(Ending::Done)
}

fn with_doctor(failure: Failure) -> Failure {
    match (&failure.hint, failure.class) {
        (None, Class::Failed | Class::NotFound | Class::WrongKey) => {
            failure.hint("`backupctl doctor` looks for what is missing here")
        }
        _ => failure,
    }
}

async fn visit(place: &Place, session: &Session) -> Result<serde_json::Value, Failure> {
    // From here on Ctrl-C asks, so that the volume is removed; a second one ends at once.
    drop(session.attend()?);
    let host = Host::open(place.settings(session)?, session.clock()).await?;
    let tour = Tour { host, volume: &place.volume, session };
    let toured = Box::pin(tour.all()).await;
    let removed = match uproot(&tour.host, tour.volume).await {
        Err(failure) if failure.class == Class::NotFound => Ok(()),
        Err(failure) if toured.is_err() => {
            session
                .screen
                .warn(&format!("if `{0}` is there, `docker volume rm {0}`: {failure}", tour.volume));
            Ok(())
        }
        other => other,
    };
    let totals = toured?;
    removed?;
    Ok(totals)
}

struct Tour<'a> {
    host: Host,
    volume: &'a str,
    session: &'a Session,
}

impl Tour<'_> {
    async fn all(&self) -> Result<serde_json::Value, Failure> {
        let source: SourceName =
            self.volume.parse().map_err(|e| Failure::failed("name the volume of the tour").because(e))?;
        self.says("This tour makes a volume with a small tree in it.", None)?;
        let planted = plant(&self.host, self.volume, &tree::tree()?).await?;
        self.shows(&format!("{} in {}\n", units::counted(planted, "entry", "entries"), self.volume))?;

        self.says("Back it up.", Some(format!("backupctl backup {source}")))?;
        let first = self.back_up(&source).await?;
        self.says("What is there now?", Some("backupctl snapshots".to_owned()))?;
        self.list().await?;
        self.says("And what is in it?", Some(format!("backupctl ls {first} -R")))?;
        self.look_into(&first).await?;

        self.says(
            "Disaster: somebody removes the volume.",
            Some(format!("docker volume rm {}", self.volume)),
        )?;
        uproot(&self.host, self.volume).await?;
        self.says("Bring it back.", Some(format!("backupctl restore {source}")))?;
        self.restore(&source).await?;

        self.says(
            "Is it the same? Back it up again, and compare both snapshots.",
            Some(format!("backupctl backup {source}")),
        )?;
        let second = self.back_up(&source).await?;
        self.says("", Some(format!("backupctl diff {first} {second}")))?;
        self.compare(&first, &second).await?;
        Ok(json!({ "first": first.to_string(), "second": second.to_string(), "identical": true }))
    }

    /// Tells a step in words, with the command that somebody would type for it.
    fn says(&self, words: &str, command: Option<String>) -> Result<(), Failure> {
        self.session.still_wanted()?;
        if self.session.screen.is_json() {
            self.session.screen.event("step", json!({ "what": words, "command": command }));
            return Ok(());
        }
        let words = if words.is_empty() { String::new() } else { format!("\n{words}\n") };
        let command = command.map(|command| format!("  $ {command}\n")).unwrap_or_default();
        self.session.screen.result(&(words + &command))
    }

    fn shows(&self, text: &str) -> Result<(), Failure> {
        if self.session.screen.is_json() {
            return Ok(());
        }
        let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
        self.session.screen.result(&indented)
    }

    async fn back_up(&self, source: &SourceName) -> Result<SnapshotName, Failure> {
        let telling = self.session.attend()?;
        let request = BackupRequest {
            source: source.clone(),
            by_hand: true,
            allow_empty: false,
            full: false,
            guard: Limits::default(),
            consistency: Consistency::default(),
            terms: RunTerms::default(),
        };
        let result = backup(&self.host, &request, &telling).await;
        telling.end();
        let report = result?;
        self.shows(&super::backup::text(&report))?;
        report.snapshot.parse().map_err(|e| Failure::failed("read the snapshot's name").because(e))
    }

    async fn list(&self) -> Result<(), Failure> {
        let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
        let lines = snapshots(&self.host, &wanted).await?.lines;
        let screen = &self.session.screen;
        // Two columns go to the indentation.
        let width = screen.width().map(|width| width.saturating_sub(2));
        self.shows(&table::text(&lines, screen.now(), screen.zone(), width, screen.paint()))
    }

    async fn look_into(&self, name: &SnapshotName) -> Result<(), Failure> {
        let zone = self.session.screen.zone();
        let mut text = String::new();
        ls(&self.host, name, &engine::archive::path::TreePath::root(), true, &mut |found| {
            text += &entry::line(found, zone);
            text.push('\n');
            Ok(())
        })
        .await?;
        self.shows(&text)
    }

    async fn restore(&self, source: &SourceName) -> Result<(), Failure> {
        let request = RestoreRequest {
            source: source.clone(),
            host: None,
            number: None,
            at: None,
            into: None,
            to: None,
            paths: Vec::new(),
            keep_previous: false,
            delta: false,
            fresh: false,
            accept_partial: false,
            accept_version: false,
        };
        let plan = plan_restore(&self.host, &request).await?;
        self.shows(&super::restore::plan_text(&plan, None, self.session.screen.zone()))?;
        let telling = self.session.attend()?;
        let result = restore(&self.host, plan, &telling).await;
        telling.end();
        self.shows(&super::restore::done(&result?))
    }

    async fn compare(&self, first: &SnapshotName, second: &SnapshotName) -> Result<(), Failure> {
        let totals = diff((&self.host, first), (&self.host, second), &mut |_found| Ok(())).await?;
        if !differences::is_same(&totals) {
            let sum = differences::sum(&totals);
            return Err(Failure::failed(format!("compare `{first}` with `{second}`: {}", sum.trim_end())));
        }
        self.shows(&differences::sum(&totals))
    }
}
