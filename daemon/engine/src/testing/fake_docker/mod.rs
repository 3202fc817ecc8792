//! A twin of the container engine: volumes are folders on disk, containers are data, and a helper is a thread
//! that runs the real job loop on the volume's folder.
//!
//! Each call of the port asks a [`Script`] before and after it takes effect, so a test can fail any call on
//! either side, or make everything stand still from some call on, as if we had died there.

mod changes;
mod helper;
mod program;
mod script;
mod trial;
mod world;

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

pub use self::helper::{Cut, JobRunner, cloning_jobs, real_jobs};
pub use self::program::Program;
pub use self::script::{Calls, Moment, Script, Verdict};
pub use self::trial::{Act, Actor};
use self::world::{Kept, Trouble, World, lock, missing, not_running};
use crate::port::changes::{Changes, Happened, Thing};
use crate::port::docker::{
    About, Container, ContainerState, Docker, DockerError, DockerErrorKind, Helper, HelperMount, HelperSpec,
    Leftover, NewVolume, Volume,
};
use crate::port::exec::{Exec, ExecSpec};

/// The twin.
pub struct FakeDocker {
    world: Arc<Mutex<World>>,
    folder: PathBuf,
    runner: JobRunner,
    script: Script,
    /// What trials do; without it no program is in any image.
    actor: Arc<Mutex<Option<Actor>>>,
}

impl FakeDocker {
    /// Volumes live under `folder`; `runner` does the helpers' jobs; `script` is asked before and after each
    /// call.
    pub fn new(folder: PathBuf, runner: JobRunner, script: Script) -> Self {
        Self { world: Arc::default(), folder, runner, script, actor: Arc::default() }
    }

    /// The same engine with another script: the world after our death, seen by our next start.
    #[must_use]
    pub fn reopened(&self, script: Script) -> Self {
        let (world, runner) = (Arc::clone(&self.world), Arc::clone(&self.runner));
        Self { world, folder: self.folder.clone(), runner, script, actor: Arc::clone(&self.actor) }
    }

    /// Where a volume's content is.
    pub fn volume_folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Adds a container, or replaces the one of that id: what other people do.
    pub fn put_container(&self, container: Container) {
        let mut world = lock(&self.world);
        let before = world.containers.insert(container.id.clone(), container.clone());
        world.listeners.tell_of(before.as_ref(), Some(&container));
    }

    /// Removes a container behind our back.
    pub fn drop_container(&self, id: &str) {
        let mut world = lock(&self.world);
        let before = world.containers.remove(id);
        world.listeners.tell_of(before.as_ref(), None);
    }

    /// From now on the container ends with this status when it is stopped.
    pub fn end_with(&self, id: &str, status: i64) {
        lock(&self.world).ends.insert(id.to_owned(), status);
    }

    /// Does the work of all programs in all containers from now on. Before, none is installed.
    pub fn install(&self, program: Program) {
        lock(&self.world).installed.program = Some(program);
    }

    /// Returns when no program runs any more: each must end by itself, or with its input.
    pub async fn programs_end(&self) {
        let running = Arc::clone(&lock(&self.world).installed.running);
        while !running.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends all subscriptions, as a restart of the engine does.
    pub fn end_changes(&self) {
        lock(&self.world).listeners.end();
    }

    /// The helpers that were started.
    pub fn helpers(&self) -> Vec<HelperSpec> {
        lock(&self.world).specs.clone()
    }

    /// How the next helper that has no such order yet will die.
    pub fn cut_next_helper(&self, cut: Cut) {
        lock(&self.world).cuts.push(cut);
    }

    /// One call of the port: its script, its effect, its script again.
    fn call<T>(
        &self,
        deed: String,
        effect: impl FnOnce(&mut World) -> Result<T, Trouble>,
    ) -> Result<T, DockerError> {
        script::ask(&self.script, Moment::Before, &deed)?;
        let done = effect(&mut lock(&self.world));
        script::ask(&self.script, Moment::After, &deed)?;
        done.map_err(|(kind, why)| DockerError { kind, deed, why })
    }
}

#[async_trait]
impl Docker for FakeDocker {
    async fn about(&self) -> Result<About, DockerError> {
        self.call("about".to_owned(), |_| {
            Ok(About { version: "23.0.1".to_owned(), api: "1.42".to_owned(), local: true, data_root: None })
        })
    }

    fn helper_image_id(&self) -> String {
        format!("sha256:{:064}", 0)
    }

    async fn volumes(&self) -> Result<Vec<Volume>, DockerError> {
        self.call("volumes".to_owned(), |world| Ok(world.volumes.values().cloned().collect()))
    }

    async fn volume(&self, name: &str) -> Result<Option<Volume>, DockerError> {
        self.call(format!("volume {name}"), |world| Ok(world.volumes.get(name).cloned()))
    }

    async fn create_volume(&self, new: &NewVolume) -> Result<Volume, DockerError> {
        let folder = self.volume_folder(&new.name);
        self.call(format!("create_volume {}", new.name), |world| {
            if world.volumes.contains_key(&new.name) {
                return Err((DockerErrorKind::Conflict, "a volume of that name exists".to_owned()));
            }
            fs::create_dir(&folder).map_err(|e| (DockerErrorKind::Other, e.to_string()))?;
            let volume = Volume {
                name: new.name.clone(),
                driver: if new.driver.is_empty() { "local".to_owned() } else { new.driver.clone() },
                options: new.options.clone(),
                labels: new.labels.clone(),
                mountpoint: Some(folder.display().to_string()),
                created_at: Some(world.now()),
                anonymous: new.name.len() == 64 && new.name.bytes().all(|b| b.is_ascii_hexdigit()),
            };
            world.volumes.insert(new.name.clone(), volume.clone());
            world.listeners.tell(Thing::Volume, Happened::Created, &new.name);
            Ok(volume)
        })
    }

    async fn remove_volume(&self, name: &str) -> Result<(), DockerError> {
        let folder = self.volume_folder(name);
        self.call(format!("remove_volume {name}"), |world| {
            if !world.volumes.contains_key(name) {
                return Err(missing("volume"));
            }
            if world.is_held(name) {
                return Err((DockerErrorKind::Conflict, "volume is in use".to_owned()));
            }
            fs::remove_dir_all(&folder).map_err(|e| (DockerErrorKind::Other, e.to_string()))?;
            world.volumes.remove(name);
            world.listeners.tell(Thing::Volume, Happened::Destroyed, name);
            Ok(())
        })
    }

    async fn containers(&self) -> Result<Vec<Container>, DockerError> {
        self.call("containers".to_owned(), |world| Ok(world.containers.values().cloned().collect()))
    }

    async fn container(&self, id: &str) -> Result<Option<Container>, DockerError> {
        self.call(format!("container {id}"), |world| Ok(world.container(id).ok().cloned()))
    }

    async fn stop(&self, id: &str, _grace: Duration) -> Result<(), DockerError> {
        self.call(format!("stop {id}"), |world| {
            let container = world.container(id)?;
            let before = container.clone();
            container.state = ContainerState::Down;
            let after = container.clone();
            if world.trials.contains_key(&after.id) {
                return Ok(());
            }
            world.listeners.tell_of(Some(&before), Some(&after));
            if after.auto_remove {
                world.containers.remove(&after.id);
                world.listeners.tell_of(Some(&after), None);
            }
            Ok(())
        })
    }

    async fn exit_status(&self, id: &str) -> Result<Option<i64>, DockerError> {
        self.call(format!("exit_status {id}"), |world| {
            let ended = world.container(id)?.state == ContainerState::Down;
            Ok(ended.then(|| world.ends.get(id).copied().unwrap_or(0)))
        })
    }

    async fn start(&self, id: &str) -> Result<(), DockerError> {
        self.call(format!("start {id}"), |world| {
            let now = world.now();
            let container = world.container(id)?;
            let before = container.clone();
            if container.state == ContainerState::Down {
                container.state = ContainerState::Running;
                container.started_at = Some(now);
            }
            let after = container.clone();
            world.listeners.tell_of(Some(&before), Some(&after));
            Ok(())
        })
    }

    async fn pause(&self, id: &str) -> Result<(), DockerError> {
        self.call(format!("pause {id}"), |world| {
            let container = world.container(id)?;
            match container.state {
                ContainerState::Running | ContainerState::Paused => container.state = ContainerState::Paused,
                ContainerState::Restarting | ContainerState::Down => return Err(not_running()),
            }
            Ok(())
        })
    }

    async fn unpause(&self, id: &str) -> Result<(), DockerError> {
        self.call(format!("unpause {id}"), |world| {
            let container = world.container(id)?;
            match container.state {
                ContainerState::Running | ContainerState::Paused => container.state = ContainerState::Running,
                ContainerState::Restarting | ContainerState::Down => return Err(not_running()),
            }
            Ok(())
        })
    }

    async fn set_restart_policy(&self, id: &str, policy: &str) -> Result<(), DockerError> {
        self.call(format!("set_restart_policy {id} {policy}"), |world| {
            let known = matches!(policy, "no" | "always" | "unless-stopped" | "on-failure");
            let counted = policy.strip_prefix("on-failure:").is_some_and(|n| n.parse::<u32>().is_ok());
            let container = world.container(id)?;
            if !known && !counted {
                return Err((DockerErrorKind::Other, "no such restart policy".to_owned()));
            }
            policy.clone_into(&mut container.restart_policy);
            Ok(())
        })
    }

    async fn exec(&self, spec: &ExecSpec) -> Result<Exec, DockerError> {
        let what = format!("{} {}", spec.container, spec.argv.first().map_or("", String::as_str));
        self.call(format!("exec {what}"), |world| match world.container(&spec.container)?.state {
            ContainerState::Running => program::start(spec, &world.installed, what, Arc::clone(&self.script)),
            ContainerState::Paused | ContainerState::Restarting | ContainerState::Down => Err(not_running()),
        })
    }

    async fn exec_runs(&self, container: &str, argv: &[String]) -> Result<bool, DockerError> {
        self.call(format!("exec_runs {container}"), |world| {
            let is_up = world.container(container).is_ok_and(|one| one.state != ContainerState::Down);
            let running = world.installed.running.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(is_up && running.iter().any(|spec| spec.container == container && spec.argv == argv))
        })
    }

    async fn open_helper(&self, spec: &HelperSpec) -> Result<Helper, DockerError> {
        let (runner, script, world) = (&self.runner, &self.script, &self.world);
        let helper = self.call(format!("open_helper {}", spec.run), |now| {
            let folder = match &spec.mount {
                HelperMount::Volume(name) if now.volumes.contains_key(name) => self.volume_folder(name),
                HelperMount::Volume(_) => return Err(missing("volume")),
                HelperMount::Folder(path) => PathBuf::from(path),
            };
            let cut = if now.cuts.is_empty() { Cut::Never } else { now.cuts.remove(0) };
            now.specs.push(spec.clone());
            now.made += 1;
            let id = format!("helper-{}", now.made);
            let (helper, running) =
                helper::start(&folder, cut, runner, id.clone(), Arc::clone(world), Arc::clone(script))?;
            let leftover = Leftover {
                id: id.clone(),
                run: spec.run.clone(),
                owner: spec.owner.clone(),
                created_at: Some(now.now()),
            };
            now.helpers.insert(id, Kept { leftover, mount: spec.mount.clone(), running });
            Ok(helper)
        })?;
        Ok(helper)
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, DockerError> {
        let all = |world: &mut World| {
            let helpers = world.helpers.values().map(|kept| &kept.leftover);
            let trials = world.trials.values().map(|kept| &kept.leftover);
            Ok(helpers.chain(trials).cloned().collect())
        };
        self.call("leftovers".to_owned(), all)
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<(), DockerError> {
        self.call(format!("remove_leftover {}", leftover.run), |world| {
            if let Some(kept) = world.helpers.remove(&leftover.id) {
                kept.running.end();
            }
            world.trials.remove(&leftover.id);
            Ok(())
        })
    }

    async fn changes(&self) -> Result<Box<dyn Changes>, DockerError> {
        self.call("changes".to_owned(), |world| Ok(world.listeners.subscribe()))
    }
}

#[cfg(test)]
mod tests;
