//! Folders that overlap: a source is written to through whatever mount leads to its files, not only by its own name.
//!
//! A container may have a folder above the source mounted, or one within it, or the folder that Docker keeps a volume in.
//! Always true: paths are compared as Docker tells them, and nothing is asked of the file systems of others, which may
//! hang. So links to folders are not seen through.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::port::docker::{Mount, MountOf, Volume};

/// Where the files of volumes are.
#[derive(Debug, Default)]
pub(crate) struct Places {
    volumes: BTreeMap<String, PathBuf>,
    /// Where the engine keeps volumes. Who has all of that mounted watches the engine, or works for it, as a monitor does,
    /// and no service keeps its files that way.
    engine: Option<PathBuf>,
}

/// A mount that leads to files of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leads {
    /// To all of it, which is here in the container.
    ToAll(String),
    /// To a part.
    ToPart,
}

impl Places {
    /// Of all volumes of a host.
    pub(crate) fn of(volumes: &[Volume]) -> Self {
        let engine = volumes.iter().filter(|volume| volume.driver == "local").find_map(|volume| {
            let folder = Path::new(volume.mountpoint.as_deref()?).parent()?;
            folder.parent().filter(|_| folder.ends_with(&volume.name)).map(Path::to_owned)
        });
        let volumes = volumes.iter().filter_map(|volume| Some((volume.name.clone(), place(volume)?.into())));
        Self { volumes: volumes.collect(), engine }
    }

    /// Where a mount leads, of a source whose files are in this folder.
    pub(crate) fn leads(&self, mount: &Mount, source: &Path) -> Option<Leads> {
        let folder = match &mount.of {
            MountOf::Volume { name } => self.volumes.get(name)?.as_path(),
            MountOf::Bind { path } => Path::new(path),
            MountOf::Other => return None,
        };
        if self.engine.as_ref().is_some_and(|engine| engine.starts_with(folder)) || folder == Path::new("/") {
            return None;
        }
        if let Ok(within) = source.strip_prefix(folder) {
            let at = Path::new(&mount.at).join(within);
            // A source that is the mounted folder itself adds nothing to its name.
            return Some(Leads::ToAll(at.to_string_lossy().trim_end_matches('/').to_owned()));
        }
        folder.starts_with(source).then_some(Leads::ToPart)
    }
}

/// Where the files of a volume are. Those of one that is bound to a folder are in that folder, and nowhere else while nobody
/// uses it.
pub(crate) fn place(volume: &Volume) -> Option<&str> {
    let bound = volume.options.get("o").is_some_and(|o| o.split(',').any(|o| matches!(o, "bind" | "rbind")));
    let device = volume.options.get("device").filter(|_| bound);
    device.or(volume.mountpoint.as_ref()).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str, device: Option<&str>) -> Volume {
        let bound = device.map(|device| [("o", "ro,bind"), ("device", device)]);
        let options = bound.into_iter().flatten().map(|(key, value)| (key.to_owned(), value.to_owned()));
        Volume {
            name: name.to_owned(),
            driver: "local".to_owned(),
            options: options.collect(),
            labels: BTreeMap::new(),
            mountpoint: Some(format!("/var/lib/docker/volumes/{name}/_data")),
            created_at: None,
            anonymous: false,
        }
    }

    #[track_caller]
    fn check(of: MountOf, source: &str, want: Option<Leads>) {
        let places = Places::of(&[volume("db", None), volume("bound", Some("/srv/db/log"))]);
        let mount = Mount { of, at: "/data".to_owned(), writable: true };
        assert_eq!(places.leads(&mount, Path::new(source)), want, "{mount:?}");
    }

    #[test]
    fn mounts_lead_to_what_is_above_and_beneath_them() {
        let bind = |path: &str| MountOf::Bind { path: path.to_owned() };
        let named = |name: &str| MountOf::Volume { name: name.to_owned() };
        let all = |at: &str| Some(Leads::ToAll(at.to_owned()));
        let data = "/var/lib/docker/volumes/db/_data";
        check(bind(data), data, all("/data"));
        check(bind("/var/lib/docker/volumes/db"), data, all("/data/_data"));
        check(bind("/var/lib/docker/volumes/db/_data/base"), data, Some(Leads::ToPart));
        check(named("db"), data, all("/data"));
        check(named("bound"), "/srv/db/log", all("/data"));
        check(named("bound"), "/srv/db", Some(Leads::ToPart));
        check(bind("/srv"), "/srv/db", all("/data/db"));
        // Names that only begin alike, and what Docker does not say the place of.
        check(bind("/srv/d"), "/srv/db", None);
        check(bind("/srv/db2"), "/srv/db", None);
        check(named("plugin"), "/srv/db", None);
        check(MountOf::Other, "/srv/db", None);
    }

    #[test]
    fn who_has_everything_mounted_is_no_writer() {
        let data = "/var/lib/docker/volumes/db/_data";
        for whole in ["/", "/var", "/var/lib/docker", "/var/lib/docker/volumes"] {
            check(MountOf::Bind { path: whole.to_owned() }, data, None);
            check(MountOf::Bind { path: whole.to_owned() }, "/var/lib/docker/other", None);
        }
    }
}
