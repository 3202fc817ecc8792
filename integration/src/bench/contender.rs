//! One tool within one run: it does what it is told, and what that cost is noted.

use std::io;

use super::measure::Cost;
use super::peers::{Attempt, Subject, reported};
use super::results::{Figure, Results, float};
use super::server::{Server, ServerKind};
use super::tools::Tool;
use crate::docker::Docker;

/// One tool, its server, and what it has done so far.
#[derive(Debug)]
pub(super) struct Contender<'a> {
    attempt: Attempt<'a>,
    /// Sent for the first backup.
    pub(super) sent: u64,
    /// Fetched to restore all of it.
    pub(super) fetched: u64,
    peak: u64,
}

impl<'a> Contender<'a> {
    pub(super) fn new(
        tool: Tool,
        docker: &'a Docker,
        server: &'a Server,
        subject: &'a Subject,
    ) -> io::Result<Self> {
        Ok(Self { attempt: Attempt::new(tool, docker, server, subject)?, sent: 0, fetched: 0, peak: 0 })
    }

    pub(super) fn name(&self) -> &'static str {
        self.tool().name()
    }

    pub(super) fn is_ours(&self) -> bool {
        self.tool() == Tool::Backupctl
    }

    /// The whole volume, seen for the first time.
    pub(super) fn back_up(&mut self, results: &mut Results) -> io::Result<()> {
        self.sent = self.back_up_as(results, Figure::BackUp, Figure::Sent)?;
        Ok(())
    }

    /// A further backup, of a tool that knows what it has sent.
    pub(super) fn back_up_again(
        &mut self,
        results: &mut Results,
        wall: Figure,
        sent: Figure,
    ) -> io::Result<()> {
        if self.tool().is_incremental() {
            self.back_up_as(results, wall, sent)?;
        }
        Ok(())
    }

    fn back_up_as(&mut self, results: &mut Results, wall: Figure, sent: Figure) -> io::Result<u64> {
        let (before, _) = self.attempt.traffic()?;
        let cost = self.attempt.back_up()?;
        // A folder may shrink, when what is not needed any more is thrown away.
        let bytes = self.attempt.traffic()?.0.saturating_sub(before);
        if self.is_ours() {
            agrees(&cost, bytes)?;
        }
        self.note(results, wall, &cost);
        results.note(self.tool(), sent, float(bytes));
        Ok(bytes)
    }

    pub(super) fn restore(&mut self, results: &mut Results) -> io::Result<()> {
        let before = self.fetched_so_far()?;
        let cost = self.attempt.restore()?;
        self.fetched = self.fetched_so_far()? - before;
        self.note(results, Figure::Restore, &cost);
        Ok(())
    }

    pub(super) fn restore_one(&mut self, results: &mut Results) -> io::Result<()> {
        let before = self.fetched_so_far()?;
        let cost = self.attempt.restore_one()?;
        let fetched = self.fetched_so_far()? - before;
        self.note(results, Figure::One, &cost);
        if self.tool().speaks_s3() {
            results.note(self.tool(), Figure::OneFetched, float(fetched));
        }
        Ok(())
    }

    /// The first backup again, to a real server. gzip would be waited for, not the server.
    pub(super) fn back_up_to_seaweedfs(
        &self,
        docker: &Docker,
        subject: &Subject,
        results: &mut Results,
    ) -> io::Result<()> {
        if self.tool().speaks_s3() && self.tool() != Tool::TarGzip {
            let real = Server::start(ServerKind::SeaweedFs)?;
            let cost = Attempt::new(self.tool(), docker, &real, subject)?.back_up()?;
            results.note(self.tool(), Figure::SeaweedFs, cost.wall.as_secs_f64());
        }
        Ok(())
    }

    /// Once nothing more is done.
    pub(super) fn note_peak(&self, results: &mut Results) {
        results.note(self.tool(), Figure::Peak, float(self.peak));
    }

    fn note(&mut self, results: &mut Results, wall: Figure, cost: &Cost) {
        results.note(self.tool(), wall, cost.wall.as_secs_f64());
        self.peak = self.peak.max(cost.peak_bytes);
    }

    fn tool(&self) -> Tool {
        self.attempt.tool
    }

    fn fetched_so_far(&self) -> io::Result<u64> {
        Ok(self.attempt.traffic()?.1.unwrap_or_default())
    }
}

/// Our program says how much it sent; the server must have seen that much and little more.
fn agrees(cost: &Cost, seen: u64) -> io::Result<()> {
    match reported(cost, "sent_bytes") {
        Some(said) if !(said..=said + said / 10 + (1 << 20)).contains(&seen) => Err(io::Error::other(
            format!("backupctl says that it sent {said} bytes, the server received {seen}"),
        )),
        Some(_) | None => Ok(()),
    }
}
