//! The scripted S3 server without a script, for benchmarks: `scripted-s3 --addr 127.0.0.1:0 --dir /dev/shm/s3`.
//!
//! Prints its address on the first line and serves until it is killed.

use std::io::Write as _;

use integration::scripted_s3::{ScriptedS3, Setup};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut setup = Setup::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| std::io::Error::other(format!("`{arg}` needs a value")))?;
        match arg.as_str() {
            "--addr" => setup.addr = Some(value.parse().map_err(std::io::Error::other)?),
            "--dir" => setup.dir = Some(value.into()),
            _ => {
                return Err(std::io::Error::other(format!(
                    "unknown `{arg}`; known are `--addr` and `--dir`"
                )));
            }
        }
    }
    if let Some(dir) = &setup.dir {
        std::fs::create_dir_all(dir)?;
    }
    let server = ScriptedS3::start_with(setup).await?;
    writeln!(std::io::stdout(), "{}", server.addr())?;
    std::future::pending().await
}
