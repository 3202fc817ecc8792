//! The channel to the engine: one reader and one writer.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use crate::args::Channel;

/// Both directions, not connected to each other: a thread may read while others write.
pub(crate) struct Link {
    pub(crate) input: Box<dyn Read + Send>,
    pub(crate) output: Box<dyn Write + Send>,
}

impl Link {
    /// Connects.
    pub(crate) fn connect(channel: &Channel) -> io::Result<Self> {
        let (input, output): (Box<dyn Read + Send>, Box<dyn Write + Send>) = match channel {
            Channel::Socket(path) => {
                let socket = UnixStream::connect(path)?;
                (Box::new(socket.try_clone()?), Box::new(socket))
            }
            // Descriptors of our own: the standard streams would look for lines.
            Channel::Stdio => (
                Box::new(File::from(rustix::io::dup(rustix::stdio::stdin())?)),
                Box::new(File::from(rustix::io::dup(rustix::stdio::stdout())?)),
            ),
        };
        Ok(Self { input, output })
    }
}
