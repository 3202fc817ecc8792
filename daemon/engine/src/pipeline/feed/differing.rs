//! Feeds a helper that brings back only what differs: it asks for tables and compares, then says what it wants.
//!
//! Always true: frames are sent while rows still come, and neither waits for all of the other, so memory is bounded on
//! both sides. It is the helper's `Done`, after our `End`, that makes it whole.

use std::sync::Arc;

use archive::base::Ask;
use archive::channel::{Differing, Logged, Progress, RecordKind};
use archive::row::Rows;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::{Fed, FeedError, Instruction, PLANNED, Planner, send};
use crate::pipeline::answers::Answers;
use crate::pipeline::channel::{ChannelError, read_record, write_record};
use crate::pipeline::reading::Reading;

/// Records of rows that wait for the planner.
const ROWS_WAITING: usize = 2;

/// What comes by.
pub enum Heard {
    /// How far it is.
    Progress(Progress),
    /// It has compared all, and wants what differs.
    Differing(Differing),
}

/// Answers a helper's questions, sends what it wants, and returns when it says that all is logged.
pub async fn feed_differing(
    reading: Arc<Reading>,
    from: &mut (dyn AsyncRead + Send + Unpin),
    to: &mut (dyn AsyncWrite + Send + Unpin),
    mut heard: impl FnMut(Heard) + Send,
) -> Result<(Fed, Logged), FeedError> {
    let compared = answer(Arc::clone(&reading), from, to, &mut heard).await?;
    heard(Heard::Differing(compared));
    if compared.too_much {
        return Ok((Fed::default(), done(from, None, &mut heard).await?));
    }
    let (rows, wanted) = mpsc::channel(ROWS_WAITING);
    let (instructions, planned) = mpsc::channel(PLANNED);
    let plan = plan(Planner::new(Arc::clone(&reading), instructions), wanted);
    let send = send(reading, planned, to);
    let sent = async {
        let (planned, sent) = tokio::join!(plan, send);
        // A planner whose receiver has gone only knows that; the sender knows why.
        let fed = sent?;
        planned?;
        Ok::<Fed, FeedError>(fed)
    };
    let said = done(from, Some(rows), &mut heard);
    tokio::pin!(sent, said);
    let fed = tokio::select! {
        fed = &mut sent => match fed {
            Ok(fed) => fed,
            // The helper closed its end; what it said before is the cause.
            Err(FeedError::Channel(closed)) => return Err(said.await.err().unwrap_or(closed).into()),
            Err(other) => return Err(other),
        },
        early = &mut said => return Err(match early {
            Ok(_) => ChannelError::Protocol("done before the end".to_owned()).into(),
            Err(e) => e.into(),
        }),
    };
    Ok((fed, said.await?))
}

/// Answers until it has compared.
async fn answer(
    reading: Arc<Reading>,
    from: &mut (dyn AsyncRead + Send + Unpin),
    to: &mut (dyn AsyncWrite + Send + Unpin),
    heard: &mut (impl FnMut(Heard) + Send),
) -> Result<Differing, FeedError> {
    let mut answers = Answers::new(reading);
    loop {
        let record = read_record(from).await?;
        if record.kind == RecordKind::Differing {
            return Ok(record.json()?);
        } else if record.kind == RecordKind::Progress {
            heard(Heard::Progress(record.json()?));
        } else if record.kind == RecordKind::Ask {
            let answer = match record.json()? {
                Ask::Root(root) => answers.root(&root).await?,
                Ask::Segment { pack, block, raw, ground } => {
                    answers.segment(pack, &block, raw, ground.as_ref()).await?
                }
                Ask::Stream(path) => {
                    let what = format!("it asked for stream `{path}` during a comparison");
                    return Err(ChannelError::Protocol(what).into());
                }
            };
            write_record(to, RecordKind::Answer, &answer, &[]).await?;
            to.flush().await.map_err(|_closed| ChannelError::Cut)?;
        } else {
            let what = format!("{:?} during a comparison", record.kind);
            return Err(ChannelError::Protocol(what).into());
        }
    }
}

/// Hears what it wants, and in the end that all is done.
async fn done(
    from: &mut (dyn AsyncRead + Send + Unpin),
    mut rows: Option<mpsc::Sender<Vec<u8>>>,
    heard: &mut (impl FnMut(Heard) + Send),
) -> Result<Logged, ChannelError> {
    loop {
        let record = read_record(from).await?;
        if record.kind == RecordKind::Done {
            return record.json();
        } else if record.kind == RecordKind::Progress {
            heard(Heard::Progress(record.json()?));
        } else if record.kind == RecordKind::Rows {
            if record.payload.is_empty() {
                rows = None;
            } else if let Some(rows) = &rows {
                // A planner that has gone has failed, and says why itself.
                rows.send(record.payload.to_vec()).await.unwrap_or_default();
            } else {
                return Err(ChannelError::Protocol("rows after the last".to_owned()));
            }
        } else {
            return Err(ChannelError::Protocol(format!("{:?} during a restore", record.kind)));
        }
    }
}

/// Plans what rows want, as they come.
async fn plan(mut planner: Planner, mut wanted: mpsc::Receiver<Vec<u8>>) -> Result<(), FeedError> {
    while let Some(rows) = wanted.recv().await {
        for entry in Rows::new(&rows) {
            let entry = entry.map_err(|e| ChannelError::Protocol(format!("a row that is wanted: {e}")))?;
            planner.plan_content(&entry).await?;
        }
    }
    let last = planner.gathering.take(false);
    planner.fetch_gathered(last).await?;
    let end = Instruction::End { entries: planner.entries, data_bytes: planner.data_bytes };
    planner.say(end).await
}
