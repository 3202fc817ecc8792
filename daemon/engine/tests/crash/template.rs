//! The world in which a deed begins: made once, copied for each place to crash.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use engine::port::docker::{
    Access, Container, ContainerState, Docker as _, DockerErrorKind, Helper, HelperMount, HelperSpec,
};
use engine::port::exec::ExecEnd;
use engine::port::store::{OpenUpload, Store as _};
use engine::testing::fake_docker::{Act, Moment, Verdict};
use engine::usecase::delete::{delete, plan_delete};
use engine::usecase::restore::RestoreRequest;
use engine::usecase::watch::Silent;
use engine::words::RunId;

use crate::deeds::{Deed, IMAGE, paths_request};
use crate::support::inside::{Inside, Shared};
use crate::support::tree::Tree;
use crate::support::world::{World, back_up, container, restore_as, restore_request, snapshot};

/// The world of a deed.
pub(crate) struct Template {
    pub(crate) deed: Deed,
    world: World,
    objects: BTreeMap<String, Bytes>,
    /// Content of the volume at snapshot 1, at snapshot 2, and now.
    pub(crate) trees: Vec<Tree>,
}

/// A copy of it, for one crash.
pub(crate) struct Case {
    pub(crate) world: World,
    pub(crate) containers: Vec<Container>,
    /// What runs in them.
    pub(crate) inside: Shared,
    pub(crate) their_objects: BTreeMap<String, Bytes>,
    pub(crate) their_uploads: Vec<OpenUpload>,
    /// Somebody else's, at work.
    _their_helper: Helper,
}

/// Whose helper must be left alone.
pub(crate) const SOMEBODY: &str = "another-installation";

impl Template {
    pub(crate) async fn new(deed: Deed) -> Self {
        let world = World::new();
        world.volume("db", 1).await;
        furnish(deed, &world);
        add_folder(deed, &world);
        let mut trees = vec![world.tree("db")];
        if deed != Deed::FirstBackup {
            let host = world.host().await;
            back_up(&host, "db").await.unwrap();
            world.replant("db", 2);
            furnish(deed, &world);
            trees.push(world.tree("db"));
            back_up(&host, "db").await.unwrap();
            if matches!(deed, Deed::Undelete | Deed::PruneDeleted) {
                let plan = plan_delete(&host, &snapshot("db@1"), false).await.unwrap();
                delete(&host, plan, &Silent::default()).await.unwrap();
            }
            world.replant("db", 3);
            furnish(deed, &world);
            trees.push(world.tree("db"));
        }
        let objects = world.store.snapshot();
        Self { deed, world, objects, trees }
    }

    pub(crate) async fn case(&self) -> Case {
        let mut world = World::new();
        if self.deed.leaves() {
            world.unfinished_bytes = 1;
        }
        if self.world.state().exists() {
            copy(&self.world.state(), &world.state());
        }
        for (key, bytes) in &self.objects {
            world.store.plant(key, bytes.clone());
        }
        let theirs = [("other/db/00000001.manifest", "not ours"), ("h1/db/notes.txt", "of a person")];
        for (key, text) in theirs {
            world.store.plant(key, text);
        }
        for key in ["other/db/a.tar.zst", "h1/db/of-somebody"] {
            std::mem::forget(world.store.begin(key).await.unwrap());
        }
        world.volume("db", u8::try_from(self.trees.len()).unwrap()).await;
        furnish(self.deed, &world);
        if self.deed == Deed::RestoreGoesOn {
            leave(&world).await;
        }
        if self.deed == Deed::UndoPaths {
            restore_as(&world.host().await, &paths_request()).await.unwrap();
        }
        if self.deed == Deed::Undo {
            let request = RestoreRequest { keep_previous: true, ..restore_request("db", 1, None) };
            restore_as(&world.host().await, &request).await.unwrap();
        }
        world.volume("theirs", 9).await;
        let containers = vec![
            container("idle", "db", ContainerState::Down, "unless-stopped"),
            container("web", "db", ContainerState::Running, "always"),
            container("worker", "db", ContainerState::Running, "on-failure:3"),
        ];
        for container in &containers {
            let mut container = container.clone();
            if container.name == "web" {
                container.labels.insert("backupd.commands".to_owned(), "true".to_owned());
            }
            world.docker.put_container(container);
        }
        let inside = Shared::new(Inside::default());
        world.docker.install(inside.programs());
        if self.deed == Deed::Drill {
            perform(&world);
        }
        let spec = HelperSpec {
            run: RunId::random().unwrap(),
            owner: SOMEBODY.to_owned(),
            mount: HelperMount::Volume("theirs".to_owned()),
            access: Access::Read,
            memory_bytes: 1 << 20,
            pids: 4,
            nice: 0,
            scratch: false,
        };
        Case {
            their_objects: theirs.map(|(k, v)| (k.to_owned(), Bytes::from_static(v.as_bytes()))).into(),
            their_uploads: world.store.open_uploads("").await.unwrap(),
            _their_helper: Arc::clone(&world.docker).open_helper(&spec).await.unwrap(),
            containers,
            inside,
            world,
        }
    }
}

/// A restore of the newer snapshot is cut off when all of it has come.
async fn leave(world: &World) {
    let folder = world.docker.volume_folder("db");
    let before = fs::metadata(&folder).unwrap().modified().unwrap();
    let docker = world.docker.reopened(Arc::new(|moment, deed: &str| {
        match moment == Moment::Before && deed.starts_with("stop") {
            true => Verdict::Fail(DockerErrorKind::Unreachable),
            false => Verdict::Pass,
        }
    }));
    world.docker.put_container(container("web", "db", ContainerState::Running, "always"));
    let host = world.host_with(Arc::new(world.store.clone()), Arc::new(docker)).await;
    restore_as(&host, &restore_request("db", 2, None)).await.unwrap_err();
    assert!(folder.join(".backupd-restore-unfinished/new").exists());
    world.docker.drop_container("id-of-web");
    fs::File::open(&folder).unwrap().set_modified(before).unwrap();
}

/// Where paths are restored, the first snapshot has a folder that there is not any more.
fn add_folder(deed: Deed, world: &World) {
    if !matches!(deed, Deed::RestorePaths | Deed::UndoPaths) {
        return;
    }
    let folder = world.docker.volume_folder("db").join("gone");
    fs::create_dir(&folder).unwrap();
    fs::File::create(folder.join("deep")).unwrap();
    fs::File::create(folder.join("not wanted")).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o1731)).unwrap();
}

/// For a drill, the volume holds a cluster.
fn furnish(deed: Deed, world: &World) {
    if deed != Deed::Drill {
        return;
    }
    let root = world.docker.volume_folder("db");
    let (folder, file) = (root.join("global"), root.join("global/pg_control"));
    let at = fs::metadata(&root).unwrap().modified().unwrap();
    fs::create_dir(&folder).unwrap();
    fs::File::create(&file).unwrap().set_modified(at).unwrap();
    for place in [&folder, &root] {
        fs::File::open(place).unwrap().set_modified(at).unwrap();
    }
}

/// There is an image whose server finds the cluster good.
fn perform(world: &World) {
    world.docker.put_image(IMAGE, "sha256:14");
    world.docker.act_trials(Arc::new(|spec, _volume| match spec.argv[2].contains("-c listen_addresses=") {
        true => Act::Runs { said: String::new() },
        false => Act::Ends { status: 0, said: "postgres (PostgreSQL) 14.9".to_owned() },
    }));
    world.docker.install(Arc::new(|spec, _input, output| {
        if spec.argv.iter().any(|word| word == "psql") {
            output.write_all(b"f\n").unwrap();
        }
        ExecEnd { status: 0, last_words: String::new() }
    }));
}

/// A state folder whose process has ended.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
}
