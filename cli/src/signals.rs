//! Ctrl-C and `kill`: the first one asks, the second one ends, but not before those run again who are held for a backup or
//! stopped for a restore, which the third does not wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::failure::Class;
use engine::usecase::watch::Cancel;
use tokio::signal::unix::{SignalKind, signal};

use crate::screen::telling::Voice;

/// A deed that has let go may be at its end, and what came of it is better told than not.
const TO_END_BY_ITSELF: Duration = Duration::from_secs(2);

static ATTENDED: AtomicBool = AtomicBool::new(false);

/// Starts to listen; later calls change nothing. `voice` says what happens next.
pub(crate) fn attend(cancel: Arc<Cancel>, voice: Voice) -> std::io::Result<()> {
    if ATTENDED.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if cancel.is_asked() {
                break;
            }
            cancel.ask();
            voice.say(match cancel.is_holding() {
                true => "stopping and cleaning up, as asked; once more ends as soon as those run again who are held",
                false => "stopping and cleaning up, as asked; once more ends at once",
            });
        }
        while cancel.is_holding() {
            voice.say(
                "letting go of those who are held, then it ends; once more leaves that to the next command",
            );
            tokio::select! {
                () = cancel.all_let_go() => tokio::time::sleep(TO_END_BY_ITSELF).await,
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
            }
        }
        voice.hush();
        // Like a crash, on purpose: the next run puts right what this one leaves.
        std::process::exit(i32::from(Class::Interrupted.exit_code()));
    });
    Ok(())
}
