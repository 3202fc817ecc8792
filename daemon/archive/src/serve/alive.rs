//! Work that has nothing to count, and may take longer than the engine listens to silence: millions of old files are
//! removed one by one, and a disk may have to write for half an hour before it is synced.
//!
//! Always true: the engine hears of it while the work goes on, and for so long only, that a disk which never answers
//! is given up in the end.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::channel::Progress;
use crate::serve::output::Output;

/// Told so often: several times in the ten minutes of silence after which a helper is given up.
const EVERY: Duration = Duration::from_secs(60);

/// Told no more than so many times: six hours.
const TOLD_MAX: u32 = 360;

/// Does `work`, and says again and again how far it had come.
pub(crate) fn alive<T>(output: &Output, progress: &Progress, work: impl FnOnce() -> T) -> T {
    alive_every(EVERY, output, progress, work)
}

fn alive_every<T>(every: Duration, output: &Output, progress: &Progress, work: impl FnOnce() -> T) -> T {
    let (over, is_over) = channel::<()>();
    std::thread::scope(|scope| {
        // Without a thread nobody is told; the work is done all the same.
        let telling = std::thread::Builder::new().name("alive".to_owned()).spawn_scoped(scope, move || {
            for _ in 0..TOLD_MAX {
                // What cannot be told shows when the answer is sent.
                let goes_on = is_over.recv_timeout(every) == Err(RecvTimeoutError::Timeout);
                if !goes_on || output.progress(progress).is_err() {
                    return;
                }
            }
        });
        drop(telling);
        let done = work();
        drop(over);
        done
    })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Tells of each record's first byte.
    struct Heard(Sender<u8>);

    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes[0]).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn long_work_is_heard_of_until_it_is_done() {
        let (sender, heard) = channel();
        let output = Output::new(Box::new(Heard(sender)));
        let progress = Progress { entries: 7, ..Progress::default() };
        let done = alive_every(Duration::from_millis(1), &output, &progress, || {
            // The work ends only once it was told of three times.
            (0..6).all(|_| heard.recv_timeout(Duration::from_secs(60)).is_ok())
        });
        assert!(done, "nobody was told");
    }
}
