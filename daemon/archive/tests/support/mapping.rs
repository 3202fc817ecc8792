//! A file that another process has mapped, shared and to be written.

#![allow(unreachable_pub, reason = "shared between test binaries by `mod`")]

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// It stores bytes when it is told to; of that no system call tells.
pub struct Mapping(Child);

impl Mapping {
    pub fn of(path: &Path) -> Self {
        let program = "import mmap, sys\nwith open(sys.argv[1], 'r+b') as f:\n m = mmap.mmap(f.fileno(), 0)\n \
                       for line in sys.stdin:\n  at, byte = map(int, line.split())\n  m[at] = byte\n  print(flush=True)";
        let mut python = Command::new("python3");
        python.args(["-c", program]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(python.spawn().unwrap())
    }

    pub fn store(&mut self, at: usize, byte: u8) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{at} {byte}").unwrap();
        self.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}
