//! Mode `rrd`: RRD files. What rrdcached holds back is written first, then all who write stand still.
//!
//! An update touches a file in several places and leaves no checksum, so a file that is torn parses, and is wrong: writers are
//! paused, always. Always true: an rrdcached that cannot be told to write is a reason to refuse; that there is none is
//! found out in each container that writes, not assumed.

use async_trait::async_trait;

use crate::catalog::How;
use crate::failure::Failure;
use crate::format::manifest::Consistency;
use crate::port::docker::{Container, ContainerState, HelperMount, MountOf};
use crate::usecase::backup::Deed;
use crate::usecase::freeze::{refusal, writers};
use crate::usecase::guest::Said;
use crate::usecase::recipe::client::{ROOT, argv};
use crate::usecase::recipe::{Recipe, Second};
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
        for writer in held.iter().filter(|writer| writer.state == ContainerState::Running) {
            flush(deed, writer).await?;
        }
        Ok(())
    }

    fn consistency(&self) -> Consistency {
        Consistency::Rrd
    }
}

/// Has an rrdcached of this container write what it holds back, if it has one.
async fn flush(deed: &Deed<'_>, writer: &Container) -> Result<(), Failure> {
    let (name, max_freeze) = (&writer.name, deed.request.consistency.max_freeze);
    let folders = places(deed, writer);
    let guest = deed.guest(writer);
    let said = guest.run(&argv(SCRIPT, &folders), ROOT, b"", max_freeze).await?;
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

/// Where a container sees the source.
fn places<'a>(deed: &Deed<'_>, writer: &'a Container) -> Vec<&'a str> {
    let is_it = |of: &MountOf| match (of, &deed.source.mount) {
        (MountOf::Volume { name }, HelperMount::Volume(volume)) => name == volume,
        (MountOf::Bind { path }, HelperMount::Folder(folder)) => path == folder,
        (MountOf::Volume { .. } | MountOf::Bind { .. } | MountOf::Other, _) => false,
    };
    writer.mounts.iter().filter(|mount| is_it(&mount.of)).map(|mount| mount.at.as_str()).collect()
}
