//! Where the tour takes place: a folder of its own with store and state in it, gone when the tour ends.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use engine::failure::Failure;
use engine::usecase::host::Settings;
use engine::words::{HostName, RunId};

use crate::session::Session;
use crate::settings;

/// A folder, and the name of a volume that nobody else has.
pub(super) struct Place {
    /// The volume that will be made.
    pub(super) volume: String,
    folder: PathBuf,
    gone: bool,
}

impl Place {
    /// Makes the folder, for the owner only.
    pub(super) fn make() -> Result<Self, Failure> {
        let random =
            RunId::random().map_err(|e| Failure::failed("draw a random name").because(e.to_string()))?;
        let volume = format!("backupd-demo-{random}");
        let folder = std::env::temp_dir().join(&volume);
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|e| Failure::failed(format!("make folder `{}`", folder.display())).because(e))?;
        Ok(Self { volume, folder, gone: false })
    }

    /// The user's own Docker and limits, with a store and a state that nothing else uses.
    pub(super) fn settings(&self, session: &Session) -> Result<Settings, Failure> {
        let usual = settings::settle(session.globals())?;
        let host: HostName =
            "demo".parse().map_err(|e| Failure::failed("name the host of the tour").because(e))?;
        Ok(Settings {
            store: format!("file://{}", self.folder.join("store").display()),
            state: self.folder.join("state"),
            host,
            ..usual
        })
    }

    /// Removes the folder and says when that failed.
    pub(super) fn remove(mut self) -> Result<(), Failure> {
        self.gone = true;
        std::fs::remove_dir_all(&self.folder).map_err(|e| {
            let shown = self.folder.display();
            Failure::failed(format!("remove folder `{shown}`")).because(e).hint(format!("rm -r {shown}"))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.gone {
            // Only a panic comes here; it is what is told, and the folder lies among temporary ones.
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_place_is_private_and_leaves_nothing() {
        let place = Place::make().unwrap();
        let folder = place.folder.clone();
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::create_dir(folder.join("state")).unwrap();
        place.remove().unwrap();
        assert!(!folder.exists());

        let dropped = Place::make().unwrap();
        let folder = dropped.folder.clone();
        drop(dropped);
        assert!(!folder.exists(), "also when nobody asked");
    }
}
