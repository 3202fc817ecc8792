//! The socket through which a helper speaks: in a private folder, for one connection.
//!
//! The folder is 0700 and ours, so nobody else of this machine reaches the socket, and the socket itself is
//! open to all, because the helper is another user wherever we are not root. Both are gone as soon as the
//! helper is connected, or this is dropped.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Name of the socket in its folder.
pub(super) const SOCKET: &str = "helper.sock";

/// The kernel takes no longer path for a socket.
const PATH_BYTES_MAX: usize = 107;

/// A socket that waits for one helper.
#[derive(Debug)]
pub(super) struct Doorway {
    folder: PathBuf,
    listener: UnixListener,
}

impl Doorway {
    /// Makes the folder `name` under `run_dir` and listens in it.
    pub(super) fn open(run_dir: &Path, name: &str) -> io::Result<Self> {
        let folder = run_dir.join(name);
        let socket = folder.join(SOCKET);
        let length = socket.as_os_str().len();
        if length > PATH_BYTES_MAX {
            return Err(io::Error::other(format!(
                "`{}` has {length} bytes, and a socket's path at most {PATH_BYTES_MAX}; choose a shorter run folder",
                socket.display(),
            )));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(run_dir)?;
        DirBuilder::new().mode(0o700).create(&folder)?;
        let opened = UnixListener::bind(&socket).and_then(|listener| {
            fs::set_permissions(&socket, Permissions::from_mode(0o666))?;
            Ok(listener)
        });
        match opened {
            Ok(listener) => Ok(Self { folder, listener }),
            Err(e) => {
                remove(&folder);
                Err(e)
            }
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The helper's connection. May be dropped and called again.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _peer)| stream)
    }
}

impl Drop for Doorway {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// A folder that stays is empty but for a dead socket, and the run folder does not outlive a reboot.
fn remove(folder: &Path) {
    if let Err(e) = fs::remove_dir_all(folder) {
        tracing::debug!(folder = %folder.display(), error = %e, "remove the helper's socket folder");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn the_folder_is_private_and_goes_with_the_doorway() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run");
        let door = Doorway::open(&run_dir, "h1").unwrap();
        for folder in [&run_dir, door.folder()] {
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let (ours, theirs) = tokio::join!(door.accept(), UnixStream::connect(door.folder().join(SOCKET)));
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        drop(door);
        assert_eq!(fs::read_dir(&run_dir).unwrap().count(), 0);

        theirs.write_all(b"x").await.unwrap();
        assert_eq!(ours.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_path_that_no_socket_can_have_is_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let far = dir.path().join("x".repeat(100));
        let refused = Doorway::open(&far, "h1").unwrap_err();
        assert!(refused.to_string().contains("shorter run folder"), "{refused}");
        assert!(!far.exists());
    }
}
