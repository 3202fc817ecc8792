//! Mode `hooks`: programs of the policy say when files may be read: `before`, then the second pass, then `after`.
//!
//! Always true: `after` was noted in the catalog before `before` is run, so it is run whatever happens, also by whoever comes
//! after a SIGKILL, and then perhaps a second time; neither may take longer than `max_freeze`. Nobody can end `before`, so
//! `after` waits for it, else it would undo what is yet to be done; one that does not end in time is told of. A bad status of either fails the backup,
//! for nobody knows what was read then. No program is run by a shell of ours.

use std::time::Duration;

use async_trait::async_trait;
use policies::policy;

use crate::catalog::{Freeze, How};
use crate::failure::{Class, Failure};
use crate::format::manifest::Consistency;
use crate::port::clock::Clock;
use crate::port::docker::{Container, ContainerState, Docker};
use crate::usecase::backup::Deed;
use crate::usecase::blame;
use crate::usecase::guest::{Guest, Said};
use crate::usecase::recipe::place::{Place, somebody_else};
use crate::usecase::recipe::{Recipe, Second};
use crate::usecase::source::User;
use crate::usecase::watch::Told;

/// The hooks of a policy, in one container.
pub(super) struct Hooks {
    place: Place,
    how: How,
}

impl Hooks {
    pub(super) fn new(place: Place, consistency: &policy::Consistency) -> Self {
        let policy::Consistency { before, after, max_freeze, .. } = consistency;
        let patience_seconds = max_freeze.as_secs();
        Self { place, how: How::Hooks { before: before.clone(), after: after.clone(), patience_seconds } }
    }
}

#[async_trait]
impl Recipe for Hooks {
    async fn begin(&mut self, deed: &Deed<'_>) -> Result<(), Failure> {
        let policy::Consistency { before, after, .. } = &deed.request.consistency;
        if !before.is_empty() || !after.is_empty() {
            if let Some(other) = somebody_else(&deed.source.users, &self.place.container) {
                deed.warn(format!("container `{other}` writes to it, too: the hooks must see to that"));
            }
            return Ok(());
        }
        Err(Failure::new(Class::Usage, format!("`{}` has no hooks", deed.request.source))
            .because("mode `hooks` runs `before` and `after` of a policy")
            .hint("write them below `[consistency]` of its policy"))
    }

    fn second(&self) -> Second {
        Second::Held(self.how.clone())
    }

    fn holds(&self, user: &User) -> bool {
        user.container.id == self.place.container.id
    }

    fn consistency(&self) -> Consistency {
        Consistency::Hooks
    }
}

impl Deed<'_> {
    /// Runs `before`. Whoever calls this has noted `after`.
    pub(in crate::usecase) async fn hook_before(&self, container: &Container) -> Result<(), Failure> {
        let policy::Consistency { before, max_freeze, .. } = &self.request.consistency;
        if before.is_empty() {
            return Ok(());
        }
        let words: Vec<&str> = before.iter().map(String::as_str).collect();
        self.watch.tell(Told::Step(format!("running the hook `{}` in {}", words[0], container.name)));
        match self.guest(container).run(&words, None, b"", *max_freeze).await? {
            Said { status: 0, .. } => Ok(()),
            said => Err(failed("before", &container.name, &words, &said)),
        }
    }
}

/// How often a hook that others have started is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Waits until `before` has ended in the container that was noted, at most `patience`; `false` if it runs on.
pub(in crate::usecase) async fn before_has_ended(
    docker: &dyn Docker,
    clock: &dyn Clock,
    freeze: &Freeze,
    before: &[String],
    patience: Duration,
) -> Result<bool, Failure> {
    if before.is_empty() {
        return Ok(true);
    }
    let what = || format!("look for the hook `before` in container `{}`", freeze.was.name);
    for _ in 0..patience.as_millis() / LOOK_AGAIN.as_millis() {
        if !docker.exec_runs(&freeze.was.id, before).await.map_err(|e| blame::docker(what(), e))? {
            return Ok(true);
        }
        clock.sleep(LOOK_AGAIN).await;
    }
    let runs = docker.exec_runs(&freeze.was.id, before).await;
    runs.map(|runs| !runs).map_err(|e| blame::docker(what(), e))
}

/// `before` had not ended when `after` was run: what it does from then on nobody undoes.
pub(in crate::usecase) fn overtaken(freeze: &Freeze, after: &[String], patience: Duration) -> Failure {
    let name = &freeze.was.name;
    let failure = Failure::failed(format!("hook `before` in container `{name}`")).because(format!(
        "it runs for longer than {}, so `after` was run beside it",
        policy::print_time(patience)
    ));
    match after.first() {
        Some(after) => failure.hint(format!(
            "`docker top {name}` shows it; when it has ended, undo what it did: `docker exec {name} {after} …`; if it \
             may take so long, raise `max_freeze`"
        )),
        None => failure.hint(format!("`docker top {name}` shows it")),
    }
}

/// What became of `after`.
#[derive(Debug)]
pub(in crate::usecase) enum After {
    /// All is well.
    Done,
    /// It could not be run, and need not be tried again.
    Needless(String),
    /// It was run, and nobody knows what it has left.
    Failed(Failure),
}

/// Runs `after` in the container that was noted. An error means that it may not have been run: try again.
pub(in crate::usecase) async fn run_after(
    docker: &dyn Docker,
    clock: &dyn Clock,
    freeze: &Freeze,
    after: &[String],
    patience: Duration,
) -> Result<After, Failure> {
    let (id, name) = (&freeze.was.id, &freeze.was.name);
    let words: Vec<&str> = after.iter().map(String::as_str).collect();
    if words.is_empty() {
        return Ok(After::Done);
    }
    let guest = Guest::noted(docker, clock, id, name);
    let found = docker.container(id).await.map_err(|e| blame::docker(guest.what(&words), e))?;
    match found.map(|found| found.state) {
        None => {
            return Ok(After::Needless(format!(
                "container `{name}` was removed, so its hook `after` was not run"
            )));
        }
        Some(ContainerState::Down) => {
            return Ok(After::Needless(format!(
                "container `{name}` is down, so its hook `after` was not run"
            )));
        }
        // It is on its way up, or a person has paused it: nothing can be run in it now.
        Some(ContainerState::Running | ContainerState::Restarting | ContainerState::Paused) => {}
    }
    Ok(match guest.try_run(&words, None, b"", patience).await? {
        Some(Said { status: 0, .. }) => After::Done,
        Some(said) => After::Failed(failed("after", name, &words, &said)),
        None => {
            let what = format!("hook `after` in container `{name}`");
            After::Failed(
                Failure::failed(what)
                    .because(format!("it runs for longer than {}", policy::print_time(patience)))
                    .hint(format!("`docker top {name}` shows it; raise `max_freeze` if it needs the time")),
            )
        }
    })
}

fn failed(which: &str, name: &str, words: &[&str], said: &Said) -> Failure {
    let what = format!("hook `{which}` in container `{name}`");
    let hint = match said.was_not_started() {
        true => format!("is it there? `docker exec {name} {} …`", words[0]),
        false => format!("see what it says by hand: `docker exec {name} {} …`", words[0]),
    };
    Failure::failed(what).because(said.ending()).hint(hint)
}
