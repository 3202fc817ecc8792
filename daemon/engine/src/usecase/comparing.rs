//! How what lies in a target differs from a snapshot, before it is replaced: names and sizes, no content.
//!
//! Always true: nothing is changed and no file is read; and who waits for a plan does not wait longer than
//! [`PATIENCE`], however many entries there are.

use std::sync::Arc;
use std::time::Duration;

use archive::channel::{End, Job, RecordKind};
use archive::compare::Compared;
use archive::path::TreePath;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::failure::Failure;
use crate::pipeline::channel::{ChannelError, read_record, write_record};
use crate::pipeline::entries::Entries;
use crate::pipeline::reading::{ReadError, Reading};
use crate::port::docker::{Access, Docker};
use crate::usecase::host::Host;
use crate::usecase::job::{Session, spec};
use crate::usecase::opened::Opened;
use crate::usecase::restore_place::Place;
use crate::usecase::run::Glance;

/// A million entries are compared in less. Who has more is told that nobody counted.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a comparison broke off.
enum Broken {
    Read(ReadError),
    Channel(ChannelError),
}

/// Compares; `None` if it takes too long, or the snapshot's tables cannot be read.
pub(super) async fn compare(
    host: &Host,
    docker: &dyn Docker,
    place: &Place,
    opened: &Opened,
) -> Result<Option<Compared>, Failure> {
    let what = format!("compare `{}` with the snapshot", place.name());
    let glance = Glance::begin(host)?;
    let spec = spec(host, glance.id(), &place.mount, Access::Read);
    let mut session = Session::open(docker, &spec, &Job::Compare, what.clone()).await?;
    let (from, to) = (&mut *session.helper.from, &mut *session.helper.to);
    let joined = tokio::select! {
        joined = join(Arc::clone(&opened.reading), from, to) => Some(joined),
        () = host.clock().sleep(PATIENCE) => None,
    };
    match joined {
        Some(Ok(compared)) => {
            session.close().await?;
            Ok(Some(compared))
        }
        Some(Err(Broken::Channel(e))) => Err(session.broke(e).await),
        Some(Err(Broken::Read(e))) => {
            // Whoever restores it reads more than these tables, and is told then.
            tracing::debug!("{what}: {e}");
            session.kill().await;
            Ok(None)
        }
        None => {
            session.kill().await;
            Ok(None)
        }
    }
}

/// Sends all rows, while the helper walks, and gives what it found.
async fn join(
    reading: Arc<Reading>,
    from: &mut (dyn AsyncRead + Send + Unpin),
    to: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<Compared, Broken> {
    let send = async {
        let mut entries = Entries::new(reading, TreePath::root());
        let mut count = 0;
        while let Some(batch) = entries.next().await.map_err(Broken::Read)? {
            count += batch.entries.len() as u64;
            write_record(to, RecordKind::Rows, &batch.raw, &[]).await.map_err(Broken::Channel)?;
        }
        let end = serde_json::to_vec(&End { entries: count, data_bytes: 0 })
            .map_err(|e| Broken::Channel(ChannelError::Protocol(e.to_string())))?;
        write_record(to, RecordKind::End, &end, &[]).await.map_err(Broken::Channel)?;
        to.flush().await.map_err(|_closed| Broken::Channel(ChannelError::Cut))
    };
    let hear = async {
        loop {
            let record = read_record(from).await?;
            match record.kind {
                RecordKind::Done => return record.json::<Compared>(),
                RecordKind::Progress => {}
                other @ (RecordKind::Hello
                | RecordKind::Job
                | RecordKind::Bytes
                | RecordKind::Failed
                | RecordKind::Rows
                | RecordKind::Frame
                | RecordKind::End
                | RecordKind::Ask
                | RecordKind::Answer
                | RecordKind::Differing) => {
                    return Err(ChannelError::Protocol(format!("{other:?} during a comparison")));
                }
            }
        }
    };
    // Of a channel that the helper closed, its last words tell the cause.
    let ((), compared) = tokio::try_join!(send, async { hear.await.map_err(Broken::Channel) })?;
    Ok(compared)
}
