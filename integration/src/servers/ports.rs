//! Ports that nobody listens on.

use std::io;
use std::net::TcpListener;

/// `N` different free ports. They are held together while they are chosen, and free again afterwards: whoever
/// starts a server on them tries again with others if somebody was faster.
pub(super) fn free<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
