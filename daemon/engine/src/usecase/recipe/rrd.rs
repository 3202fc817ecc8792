//! Mode `rrd`: RRD files. What rrdcached holds back is written first, then all who write stand still.
//!
//! An update touches a file in several places and leaves no checksum, so a file that is torn parses, and is wrong: writers are
//! paused, always, and at another moment if one of them was in the middle of an update (`second.rs`). Always true: an
//! rrdcached that cannot be told to write is a reason to refuse; that there is none is found out in each container that
//! writes, not assumed.

use async_trait::async_trait;

use crate::catalog::How;
use crate::failure::Failure;
use crate::format::manifest::Consistency;
use crate::port::docker::{Container, ContainerState};
use crate::usecase::backup::Deed;
use crate::usecase::freeze::{refusal, writers};
use crate::usecase::guest::Said;
use crate::usecase::recipe::client::{ROOT, argv};
use crate::usecase::recipe::{Recipe, Second};
use crate::usecase::source::{self, Source};
use crate::usecase::watch::Told;

const SCRIPT: &str = include_str!("rrd.sh");

/// What it says where there is no rrdcached.
const NONE: &str = "none";

/// RRD files, and whoever writes them.
pub(super) struct Rrd;

#[async_trait]
impl Recipe for Rrd {
    async fn begin(&mut self, deed: &Deed<'_>) -> Result<(), Failure> {
        match writers(deed.source).iter().find_map(|writer| refusal(writer, &How::Pause)) {
            None => Ok(()),
            Some(why) => Err(Failure::failed(why)),
        }
    }

    fn second(&self) -> Second {
        Second::Held(How::Pause)
    }

    async fn quiesce(&mut self, deed: &Deed<'_>, held: &[Container]) -> Result<(), Failure> {
        // Who is held was looked up a moment ago, and may have been started since the run began.
        let source = source::resolve(deed.docker, &deed.request.source).await?;
        for writer in held.iter().filter(|writer| writer.state == ContainerState::Running) {
            flush(deed, writer, &places(&source, writer)).await?;
        }
        Ok(())
    }

    fn consistency(&self) -> Consistency {
        Consistency::Rrd
    }
}

/// Has an rrdcached of this container write what it holds back, if it has one.
async fn flush(deed: &Deed<'_>, writer: &Container, folders: &[&str]) -> Result<(), Failure> {
    let (name, max_freeze) = (&writer.name, deed.request.consistency.max_freeze);
    let guest = deed.guest(writer);
    let said = guest.run(&argv(SCRIPT, folders), ROOT, b"", max_freeze).await?;
    match said {
        Said { status: 0, stdout, .. } if stdout.trim() == NONE => {}
        Said { status: 0, stdout, .. } => {
            deed.watch.tell(Told::Step(format!("rrdcached in {name}: {}", stdout.trim())));
        }
        // A container with nothing but its program: whether that is rrdcached cannot be asked.
        said if said.was_not_started() && !said.last_words.contains("rrdcached") => {
            let why = "it has no shell that could look for rrdcached";
            deed.warn(format!("container `{name}` was only paused: {why} ({})", said.last_words));
        }
        said => {
            let what = format!("have rrdcached in container `{name}` write what it holds back");
            return Err(Failure::failed(what).because(said.ending()).hint(format!(
                "`docker exec {name} rrdtool flushcached --daemon ADDRESS FILE` must work there"
            )));
        }
    }
    Ok(())
}

/// Where a container sees the source, or a part of it.
fn places<'a>(source: &'a Source, writer: &Container) -> Vec<&'a str> {
    let of_it = source.users.iter().filter(|user| user.container.id == writer.id);
    of_it.map(|user| user.at.as_str()).collect()
}
