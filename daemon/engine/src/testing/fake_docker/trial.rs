//! Trials of the twin: what a program does is said by the test.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::script::{Moment, Script, ask};
use super::{FakeDocker, Trouble, World, lock, missing};
use crate::port::docker::{
    Container, ContainerState, DockerError, DockerErrorKind, Health, Leftover, Mount, MountOf, OWNER_LABEL,
    RUN_LABEL,
};
use crate::port::trial::{Trial, TrialEnd, TrialLife, TrialSpec, Trials};

/// What a program does in a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// It ends at once.
    Ends {
        /// With this status.
        status: i64,
        /// Having said this.
        said: String,
    },
    /// It runs until it is stopped, and ends with status 0 then.
    Runs {
        /// What it says at its start.
        said: String,
    },
}

/// Says what a trial does; the folder is that of its volume.
pub type Actor = Arc<dyn Fn(&TrialSpec, Option<&Path>) -> Act + Send + Sync>;

/// A trial that was not removed yet.
#[derive(Debug)]
pub(super) struct KeptTrial {
    pub(super) leftover: Leftover,
    pub(super) volume: Option<String>,
    pub(super) container: Container,
    status: i64,
    said: String,
}

impl FakeDocker {
    /// Puts an image there.
    pub fn put_image(&self, name: &str, id: &str) {
        lock(&self.world).images.insert(name.to_owned(), id.to_owned());
    }

    /// From now on trials do as this says.
    pub fn act_trials(&self, actor: Actor) {
        *self.actor.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(actor);
    }

    /// The trials that were started.
    pub fn trials(&self) -> Vec<TrialSpec> {
        lock(&self.world).trial_specs.clone()
    }

    fn act(&self, spec: &TrialSpec, folder: Option<&PathBuf>) -> Act {
        let actor = self.actor.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let nothing = || Act::Ends { status: 127, said: String::new() };
        actor.map_or_else(nothing, |actor| actor(spec, folder.map(PathBuf::as_path)))
    }
}

fn find_image(world: &World, name: &str) -> Option<String> {
    let named = |(known, id): (&String, &String)| (known == name || id == name).then(|| id.clone());
    world.images.iter().find_map(named)
}

/// The volume must be there and of this run.
fn demand_own_volume(world: &World, spec: &TrialSpec) -> Result<(), Trouble> {
    let Some(mount) = &spec.mount else { return Ok(()) };
    let found = world.volumes.get(&mount.volume).ok_or_else(|| missing("volume"))?;
    if found.labels.get(RUN_LABEL) == Some(&spec.run.to_string()) { Ok(()) } else { Err(missing("volume")) }
}

fn container(world: &mut World, id: &str, spec: &TrialSpec, image_id: String, runs: bool) -> Container {
    let mount = |mount: &crate::port::trial::TrialMount| Mount {
        of: MountOf::Volume { name: mount.volume.clone() },
        at: mount.at.clone(),
        writable: true,
    };
    let labels = [(RUN_LABEL.to_owned(), spec.run.to_string()), (OWNER_LABEL.to_owned(), spec.owner.clone())];
    Container {
        id: id.to_owned(),
        name: format!("backupd-drill-{}", spec.run),
        image: spec.image.clone(),
        image_id,
        state: if runs { ContainerState::Running } else { ContainerState::Down },
        health: Health::None,
        started_at: Some(world.now()),
        restart_policy: "no".to_owned(),
        labels: labels.into(),
        mounts: spec.mount.iter().map(mount).collect(),
        auto_remove: false,
        has_us: false,
        versions: std::collections::BTreeMap::new(),
    }
}

#[async_trait]
impl Trials for FakeDocker {
    async fn image(&self, name: &str) -> Result<Option<String>, DockerError> {
        self.call(format!("image {name}"), |world| Ok(find_image(world, name)))
    }

    async fn start_trial(&self, spec: &TrialSpec) -> Result<Trial, DockerError> {
        let folder = spec.mount.as_ref().map(|mount| self.volume_folder(&mount.volume));
        let program = spec.argv.first().map_or("", String::as_str);
        let container = self.call(format!("start_trial {program}"), |world| {
            let image_id = find_image(world, &spec.image).ok_or_else(|| missing("image"))?;
            demand_own_volume(world, spec)?;
            let (status, said, runs) = match self.act(spec, folder.as_ref()) {
                Act::Ends { status, said } => (status, said, false),
                Act::Runs { said } => (0, said, true),
            };
            world.made += 1;
            let id = format!("trial-{}", world.made);
            let container = container(world, &id, spec, image_id, runs);
            let leftover = Leftover {
                id: id.clone(),
                run: spec.run.clone(),
                owner: spec.owner.clone(),
                created_at: container.started_at,
            };
            let volume = spec.mount.as_ref().map(|mount| mount.volume.clone());
            world.trial_specs.push(spec.clone());
            world
                .trials
                .insert(id, KeptTrial { leftover, volume, container: container.clone(), status, said });
            Ok(container)
        })?;
        let (world, script) = (Arc::clone(&self.world), Arc::clone(&self.script));
        let life = Life { id: container.id.clone(), world, script };
        Ok(Trial { container, life: Box::new(life) })
    }
}

struct Life {
    id: String,
    world: Arc<Mutex<World>>,
    script: Script,
}

impl Life {
    /// What `read` finds in it; an error if somebody removed it.
    fn look<T>(&self, deed: &str, read: impl FnOnce(&KeptTrial) -> T) -> Result<T, DockerError> {
        let deed = format!("{deed} {}", self.id);
        ask(&self.script, Moment::Before, &deed)?;
        let seen = lock(&self.world).trials.get(&self.id).map(read);
        ask(&self.script, Moment::After, &deed)?;
        seen.ok_or_else(|| DockerError {
            kind: DockerErrorKind::NotFound,
            deed,
            why: "no such container".to_owned(),
        })
    }

    fn end(&self) -> Result<Option<TrialEnd>, DockerError> {
        self.look("trial_ended", |kept| {
            // As the kernel ends whoever used up its memory.
            let out_of_memory = kept.status == 137;
            let why = format!("it ended with status {}", kept.status);
            let end = TrialEnd { status: kept.status, why, out_of_memory };
            (kept.container.state == ContainerState::Down).then_some(end)
        })
    }
}

#[async_trait]
impl TrialLife for Life {
    async fn ended(&mut self, patience: Duration) -> Result<Option<TrialEnd>, DockerError> {
        let end = self.end()?;
        if end.is_some() || patience.is_zero() {
            return Ok(end);
        }
        // Only somebody else can end it meanwhile; a test waits no longer than it must.
        tokio::time::sleep(patience.min(Duration::from_millis(20))).await;
        self.end()
    }

    async fn said(&self) -> Result<String, DockerError> {
        self.look("trial_said", |kept| kept.said.clone())
    }
}
