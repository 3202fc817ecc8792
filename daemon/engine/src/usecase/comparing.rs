//! How what lies in a target differs from a snapshot, before it is replaced: names and sizes, no content.
//!
//! Always true: nothing is changed and no file is read; and who waits for a plan does not wait longer than
//! [`PATIENCE`], however many entries there are.

use std::sync::Arc;
use std::time::Duration;

use archive::channel::{CompareJob, End, Job, RecordKind};
use archive::compare::Compared;
use archive::entry::{Entry, Extent, Kind};
use archive::path::TreePath;
use archive::row::put_row;
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

/// What the snapshot has at the places that were compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Counted {
    pub(super) files: u64,
    pub(super) entries: u64,
    /// Apparent bytes of the files.
    pub(super) bytes: u64,
    /// What of them is not holes.
    pub(super) data_bytes: u64,
    /// The first place that it has nothing at.
    pub(super) nothing_at: Option<TreePath>,
}

impl Counted {
    fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        if let Kind::File { size, content } = &entry.kind {
            let stored = content.iter().filter(|extent| matches!(extent, Extent::Stored { .. }));
            self.files += 1;
            self.bytes = self.bytes.saturating_add(*size);
            self.data_bytes = self.data_bytes.saturating_add(stored.map(Extent::length).sum());
        }
    }
}

/// Counts what the snapshot has at places, which are in path order and none within another; `None` if that takes too long,
/// or its tables cannot be read.
pub(super) async fn count(host: &Host, opened: &Opened, places: &[TreePath]) -> Option<Counted> {
    let counting = async {
        let mut counted = Counted::default();
        for place in places {
            let before = counted.entries;
            let mut entries = Entries::new(Arc::clone(&opened.reading), place.clone());
            while let Some(batch) = entries.next().await? {
                batch
                    .entries
                    .iter()
                    .filter(|entry| entry.path.is_within(place))
                    .for_each(|one| counted.add(one));
            }
            if counted.entries == before && counted.nothing_at.is_none() {
                counted.nothing_at = Some(place.clone());
            }
        }
        Ok::<_, ReadError>(counted)
    };
    tokio::select! {
        counted = counting => match counted {
            Ok(counted) => Some(counted),
            Err(e) => {
                // Whoever restores it reads these tables too, and is told then.
                tracing::debug!("count what is at paths: {e}");
                None
            }
        },
        () = host.clock().sleep(PATIENCE) => None,
    }
}

/// Compares, all or what lies at or beneath places, which are in path order and none within another; `None` if it takes
/// too long, or the snapshot's tables cannot be read.
pub(super) async fn compare(
    host: &Host,
    docker: &dyn Docker,
    place: &Place,
    opened: &Opened,
    places: &[TreePath],
) -> Result<Option<(Compared, Counted)>, Failure> {
    let what = format!("compare `{}` with the snapshot", place.name());
    let glance = Glance::begin(host)?;
    let spec = spec(host, glance.id(), &place.mount, Access::Read);
    let job = Job::Compare(CompareJob { places: places.to_vec() });
    let mut session = Session::open(docker, &spec, &job, what.clone()).await?;
    let (from, to) = (&mut *session.helper.from, &mut *session.helper.to);
    let joined = tokio::select! {
        joined = join(Arc::clone(&opened.reading), places, from, to) => Some(joined),
        () = host.clock().sleep(PATIENCE) => None,
    };
    match joined {
        Some(Ok(found)) => {
            session.close().await?;
            Ok(Some(found))
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
    places: &[TreePath],
    from: &mut (dyn AsyncRead + Send + Unpin),
    to: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<(Compared, Counted), Broken> {
    let send = async {
        let mut counted = Counted::default();
        if places.is_empty() {
            send_all(Arc::clone(&reading), to, &mut counted).await?;
        }
        for place in places {
            send_place(Arc::clone(&reading), place, to, &mut counted).await?;
        }
        let end = serde_json::to_vec(&End { entries: counted.entries, data_bytes: 0 })
            .map_err(|e| Broken::Channel(ChannelError::Protocol(e.to_string())))?;
        write_record(to, RecordKind::End, &end, &[]).await.map_err(Broken::Channel)?;
        to.flush().await.map_err(|_closed| Broken::Channel(ChannelError::Cut))?;
        Ok::<_, Broken>(counted)
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
                | RecordKind::Differing
                | RecordKind::Pictured) => {
                    return Err(ChannelError::Protocol(format!("{other:?} during a comparison")));
                }
            }
        }
    };
    // Of a channel that the helper closed, its last words tell the cause.
    let (counted, compared) = tokio::try_join!(send, async { hear.await.map_err(Broken::Channel) })?;
    Ok((compared, counted))
}

/// The rows as they lie.
async fn send_all(
    reading: Arc<Reading>,
    to: &mut (dyn AsyncWrite + Send + Unpin),
    counted: &mut Counted,
) -> Result<(), Broken> {
    let mut entries = Entries::new(reading, TreePath::root());
    while let Some(batch) = entries.next().await.map_err(Broken::Read)? {
        counted.entries += batch.entries.len() as u64;
        write_record(to, RecordKind::Rows, &batch.raw, &[]).await.map_err(Broken::Channel)?;
    }
    Ok(())
}

/// The rows of what lies at or beneath one place, and of nothing above it.
async fn send_place(
    reading: Arc<Reading>,
    place: &TreePath,
    to: &mut (dyn AsyncWrite + Send + Unpin),
    counted: &mut Counted,
) -> Result<(), Broken> {
    let before = counted.entries;
    let mut entries = Entries::new(reading, place.clone());
    while let Some(batch) = entries.next().await.map_err(Broken::Read)? {
        let (mut rows, mut last) = (Vec::new(), Vec::new());
        for entry in batch.entries.iter().filter(|entry| entry.path.is_within(place)) {
            put_row(&mut rows, &last, entry);
            last = entry.path.as_bytes().to_vec();
            counted.add(entry);
        }
        if !rows.is_empty() {
            write_record(to, RecordKind::Rows, &rows, &[]).await.map_err(Broken::Channel)?;
        }
    }
    if counted.entries == before && counted.nothing_at.is_none() {
        counted.nothing_at = Some(place.clone());
    }
    Ok(())
}
