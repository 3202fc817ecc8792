//! Recovery beside the schedules: what dead runs left is put right while everything else goes on.
//!
//! Always true: one look at a time; the loop that keeps the schedules waits for it no longer than a moment, so a store
//! that takes a connection and never answers costs what was left in it, and nothing else. It may be cut off anywhere.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use engine::failure::Failure;
use engine::port::clock::Clock;
use engine::usecase::host::Host;
use engine::usecase::recover::{Recovered, recover};
use engine::usecase::watch::Cancel;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::watching::{Logged, line};

/// So long the loop waits. Service comes first in a recovery: containers run again long before this.
const PATIENCE: Duration = Duration::from_secs(15);

/// Looks for what dead runs left.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    task: Option<JoinHandle<Result<Recovered, Failure>>>,
    /// The look that is on was waited for.
    waited: bool,
    /// What could not be put right when it was last tried, as far as that was logged.
    left: BTreeSet<String>,
}

impl Recovery {
    /// Begins a look, unless one is still on, and waits for its end for a moment.
    pub(crate) async fn look(
        &mut self,
        host: &Arc<Host>,
        clock: &dyn Clock,
        cancel: &Arc<Cancel>,
    ) -> Result<(), Failure> {
        let task = self.task.get_or_insert_with(|| {
            let (host, watch) = (Arc::clone(host), Logged::new(Arc::clone(cancel)));
            tokio::spawn(async move { recover(&host, &watch).await })
        });
        let patience = if self.waited { Duration::ZERO } else { PATIENCE };
        self.waited = true;
        let done = tokio::select! {
            done = task => done,
            () = cancel.asked() => return Ok(()),
            () = clock.sleep(patience) => {
                return Err(Failure::failed("what dead runs left is still being put right")
                    .hint("is each store there? `backupctl doctor` asks them"));
            }
        };
        (self.task, self.waited) = (None, false);
        let recovered =
            done.unwrap_or_else(|broken| Err(Failure::failed("recovery broke down").because(broken)))?;
        self.tell(recovered);
        Ok(())
    }

    /// What could not be put right when it was last tried.
    pub(crate) fn left(&self) -> Option<String> {
        let left: Vec<&str> = self.left.iter().map(String::as_str).collect();
        (!left.is_empty()).then(|| left.join("; "))
    }

    /// Waits for a look that is on, for a moment: most of them end by themselves.
    pub(crate) async fn stop(&mut self, clock: &dyn Clock) {
        let Some(task) = &mut self.task else { return };
        tokio::select! {
            ended = task => drop(ended),
            () = clock.sleep(PATIENCE) => {}
        }
    }

    fn tell(&mut self, recovered: Recovered) {
        for said in recovered.said {
            warn!("recovered: {}", line(&said));
        }
        let left: BTreeSet<String> = recovered.left.into_iter().collect();
        for left in left.difference(&self.left) {
            warn!("not recovered yet: {}", line(left));
        }
        self.left = left;
    }
}

impl Drop for Recovery {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use engine::port::docker::{Docker as _, NewVolume};
    use engine::port::store::Store as _;
    use engine::testing::calls::{CallLog, CrashPoint, Dead, When};
    use engine::testing::fake_docker::{Calls, FakeDocker, real_jobs};
    use engine::testing::faulty_store::FaultyStore;
    use engine::testing::memory_store::MemoryStore;
    use engine::usecase::backup::{BackupRequest, backup};
    use engine::usecase::host::{Effort, Settings};
    use engine::usecase::runs::runs;
    use jiff::Timestamp;

    use super::*;

    /// Patience passes at once, and only when somebody has it.
    struct Hurried(Mutex<Timestamp>);

    #[async_trait]
    impl Clock for Hurried {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }

        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }

        async fn sleep(&self, span: Duration) {
            let short = if span == PATIENCE { Duration::from_millis(200) } else { span };
            tokio::time::sleep(short).await;
        }
    }

    #[tokio::test]
    async fn a_store_that_never_answers_keeps_nobody_waiting_and_is_put_right_later() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("volumes")).unwrap();
        let docker = FakeDocker::new(dir.path().join("volumes"), real_jobs(), Calls::new().script());
        let docker = Arc::new(docker);
        let clock = Arc::new(Hurried(Mutex::new("2026-11-20T12:00:00Z".parse().unwrap())));
        let store = MemoryStore::new();
        let host = async |log: &Arc<CallLog>| {
            let settings = Settings {
                store: "s3://bucket/prefix".into(),
                host: "h1".parse().unwrap(),
                state: dir.path().join("state"),
                docker: None,
                effort: Effort { workers: 1, ..Effort::default() },
            };
            let host = Host::open(settings, Arc::<Hurried>::clone(&clock)).await.unwrap();
            let store = FaultyStore::new(Arc::new(store.clone()), Arc::clone(log), Vec::new());
            let docker: Arc<FakeDocker> = Arc::clone(&docker);
            Arc::new(host.with_ports(Arc::new(store), docker))
        };
        docker.create_volume(&NewVolume { name: "db".into(), ..NewVolume::default() }).await.unwrap();
        let (source, watch) = ("db".parse().unwrap(), Logged::new(Arc::default()));
        let request = BackupRequest { allow_empty: true, ..BackupRequest::scheduled(source, None) };

        // It dies with its upload open.
        let dies = CallLog::crashing(CrashPoint { call: 6, when: When::After }, Dead::Hangs);
        let dead = host(&dies).await;
        tokio::select! {
            done = backup(&dead, &request, &watch) => panic!("{done:?}"),
            () = dies.death() => {}
        }
        drop(dead);

        let hangs = CallLog::crashing(CrashPoint { call: 1, when: When::Before }, Dead::Hangs);
        let (at, cancel) = (host(&hangs).await, Arc::default());
        let mut recovery = Recovery::default();
        for _look in 0..2 {
            let failed = recovery.look(&at, &*clock, &cancel).await.unwrap_err();
            assert!(failed.to_string().contains("still being put right"), "{failed}");
        }
        drop(recovery);
        drop(at);
        let at = host(&CallLog::recording()).await;
        let mut recovery = Recovery::default();
        while let Err(failure) = recovery.look(&at, &*clock, &cancel).await {
            assert!(failure.to_string().contains("still being put right"), "{failure}");
            tokio::task::yield_now().await;
        }
        assert!(runs(&at, 1).unwrap()[0].ended_at.is_some());
        assert_eq!(store.open_uploads("").await.unwrap(), []);
    }
}
