//! What the container of a helper costs by itself: every backup and restore pays it once, however little there is to do.
//!
//! Two figures. The container alone, through the engine's own port: create, start, greet, kill, remove. And whole
//! processes on a volume with one small file, which is more than the container: Docker, catalog, store and all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::time::Instant;

use engine::adapter::docker::{BollardDocker, Settings};
use engine::pipeline::channel::read_record;
use engine::port::docker::{Access, Docker as _};
use engine::testing::docker_contract::spec;
use tokio::runtime::Runtime;

use super::peers::{Attempt, Subject};
use super::results::median;
use super::server::{Server, ServerKind};
use super::targets::{helper_seconds, table};
use super::tools::Tool;
use super::volumes::VOLUME_PREFIX;
use super::workloads::Workload;
use crate::docker::Docker;

/// Enough for a median that stays.
const TIMES: u32 = 7;

/// Measures both, and writes the part of the document.
pub(super) fn cost(docker: &Docker) -> io::Result<String> {
    let name = format!("{VOLUME_PREFIX}empty");
    let place = docker.create_volume(&name)?;
    let subject = Subject { volume: name, place, workload: Workload::Small };
    let (alone, back_up, restore) = measure(docker, &subject)?;
    Ok(format!(
        "### The helper's container\n\n\
         Made, started, greeted and removed: {alone:.2} s. A whole backup of a volume with one small file takes {back_up:.2} s, \
         its restore {restore:.2} s. Medians of {TIMES}.\n\n{}\n",
        table(&[helper_seconds(alone)])
    ))
}

/// Seconds of the container alone, of a backup, of a restore.
fn measure(docker: &Docker, subject: &Subject) -> io::Result<(f64, f64, f64)> {
    let one = subject.place.join(subject.workload.one_file());
    fs::create_dir_all(subject.place.join("7"))?;
    File::create(one)?.write_all(b"one small file")?;
    let server = Server::start(ServerKind::Ours)?;
    let attempt = Attempt::new(Tool::Backupctl, docker, &server, subject)?;
    let (mut back_up, mut restore, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        back_up.push(attempt.back_up_in_full()?.wall.as_secs_f64());
        restore.push(attempt.restore()?.wall.as_secs_f64());
        alone.push(container(docker, &subject.volume)?);
    }
    let middle = |seconds| median(seconds).unwrap_or_default();
    Ok((middle(alone), middle(back_up), middle(restore)))
}

fn container(docker: &Docker, volume: &str) -> io::Result<f64> {
    let run_dir = tempfile::tempdir()?;
    let host = docker.host();
    let settings =
        Settings { host: Some(host), run_dir: run_dir.path().to_owned(), attach: false, socket_volume: None };
    let docker = BollardDocker::new(settings).map_err(io::Error::other)?;
    Runtime::new()?.block_on(async {
        let began = Instant::now();
        let mut helper = docker.open_helper(&spec(volume, Access::Read)).await.map_err(io::Error::other)?;
        read_record(&mut *helper.from).await.map_err(io::Error::other)?;
        helper.life.kill().await.map_err(io::Error::other)?;
        Ok(began.elapsed().as_secs_f64())
    })
}
