//! Who hears what comes by while a pack is received, and passes it on: to the run's row, to the one who asked, and to who
//! waits for a picture.

use crate::pipeline::receive::Listener;
use crate::port::store::OpenUpload;
use crate::usecase::run::Run;
use crate::usecase::second::Waiter;
use crate::usecase::watch::{Progress, Told, Watch};

/// Passes on what comes by while a pack is received.
pub(super) struct Teller<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) watch: &'a dyn Watch,
    pub(super) pictured: Option<Waiter>,
}

impl Listener for Teller<'_> {
    fn progress(&mut self, progress: archive::channel::Progress) {
        self.run.progress(progress.entries, progress.bytes, &progress.path);
        let archive::channel::Progress { entries, bytes, path } = progress;
        self.watch.tell(Told::Progress(Progress { entries, bytes, of_bytes: None, path }));
    }

    fn pictured(&mut self) {
        let Some(Waiter { tell, hold }) = self.pictured.take() else { return };
        hold.end();
        // Whoever waited may have given up.
        let _told = tell.send(());
    }

    fn opened(&mut self, upload: OpenUpload) {
        // Without the id, recovery still finds the upload by its key.
        if let Err(failure) = self.run.uploading(&upload.key, Some(&upload.id)) {
            tracing::debug!("{failure}");
        }
    }
}
