//! `make bench` and `make bench-growth`: measure backupctl, and print what docs/performance.md shows.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::io;
use std::process::ExitCode;
use std::time::Instant;

use integration::bench::compare::compare;
use integration::bench::growth::growth;
use integration::bench::marks::Part;
use integration::bench::settings::Settings;
use integration::docker::Docker;

fn main() -> ExitCode {
    let settings = match Settings::parse(std::env::args().skip(1)) {
        Ok(settings) => settings,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    match bench(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn bench(settings: &Settings) -> io::Result<()> {
    let docker = Docker::of_environment()?;
    let began = Instant::now();
    let say = |what: &str| eprintln!("{:>5} s  {what}", began.elapsed().as_secs());
    let (part, report) = match settings.growth {
        true => (Part::Growth, growth(settings.scale, &docker, &say)?),
        false => (Part::Bench, compare(settings, &docker, &say)?),
    };
    say("done");
    println!("{report}");
    match &settings.write {
        Some(path) => part.write(path, &report),
        None => Ok(()),
    }
}
