//! Ctrl-C and `kill`: the first one asks, the second one ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::failure::Class;
use engine::usecase::watch::Cancel;
use tokio::signal::unix::{SignalKind, signal};

use crate::screen::telling::Voice;

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
                // Like a crash, on purpose: the next run puts right what this one leaves.
                std::process::exit(i32::from(Class::Interrupted.exit_code()));
            }
            cancel.ask();
            voice.say("stopping and cleaning up, as asked; once more ends at once");
        }
    });
    Ok(())
}
