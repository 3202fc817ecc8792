//! What systemd hears, if it started us: `sd_notify(3)`, which is one datagram to a socket.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tracing::warn;

/// Whoever supervises this process.
#[derive(Debug)]
pub(crate) struct Supervisor {
    socket: Option<OsString>,
}

impl Supervisor {
    /// With the value of `NOTIFY_SOCKET`; nobody where there is none.
    pub(crate) fn at(socket: Option<OsString>) -> Self {
        Self { socket: socket.filter(|socket| !socket.is_empty()) }
    }

    /// Tells `READY=1` and the like. Failing to tell is logged: the service itself is well.
    pub(crate) fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(e) = send(socket, state)
        {
            warn!("tell the supervisor at {socket:?}: {e}");
        }
    }
}

fn send(socket: &OsString, state: &str) -> io::Result<()> {
    let bytes = socket.as_bytes();
    // A name that begins with `@` is in the abstract namespace, where it begins with a NUL.
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 100];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn both_kinds_of_sockets_hear() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Supervisor::at(Some(path.into())).tell("READY=1");
        assert_eq!(heard(&socket), "READY=1");

        let name = format!("backupd-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Supervisor::at(Some(format!("@{name}").into())).tell("STOPPING=1");
        assert_eq!(heard(&socket), "STOPPING=1");
    }

    #[test]
    fn nobody_to_tell_is_no_failure() {
        Supervisor::at(None).tell("READY=1");
        assert!(Supervisor::at(Some(OsString::new())).socket.is_none());
        assert!(send(&"/nowhere/notify".into(), "READY=1").is_err());
    }
}
