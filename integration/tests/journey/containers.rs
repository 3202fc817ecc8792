//! Containers of tests that are made and never run: they only have mounts.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::world::World;

/// An image with nothing in it, and the containers that were made of it. All go in the end.
pub(crate) struct Containers {
    image: String,
    ids: Vec<String>,
}

impl Containers {
    /// Imports an image of its own, so that nobody else's test takes it away.
    pub(crate) fn new() -> Self {
        let mut import = Command::new("docker");
        let mut import =
            import.args(["import", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // A tarball ends with two empty blocks; this one has nothing before them.
        import.stdin.take().unwrap().write_all(&[0; 1024]).unwrap();
        let said = import.wait_with_output().unwrap();
        assert!(said.status.success());
        Self { image: String::from_utf8(said.stdout).unwrap().trim().to_owned(), ids: Vec::new() }
    }

    /// As `docker create` takes it; gives the name.
    pub(crate) fn create(&mut self, world: &World, name: &str, mounts: &[&str]) -> String {
        let name = world.volume_name(name);
        let args = [&["create", "--name", &name][..], mounts, &[&self.image, "/none"]].concat();
        self.ids.push(docker(&args));
        name
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        for id in &self.ids {
            // With its anonymous volumes; what cannot be removed is in the engine's listing.
            drop(Command::new("docker").args(["rm", "-f", "-v", id]).output());
        }
        drop(Command::new("docker").args(["rmi", "-f", &self.image]).output());
    }
}

fn docker(args: &[&str]) -> String {
    let done = Command::new("docker").args(args).output().unwrap();
    assert!(done.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}
