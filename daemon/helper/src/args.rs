//! The command line: where the channel is, and which folder it is about.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// How to reach the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Channel {
    /// A unix socket on which the engine listens.
    Socket(PathBuf),
    /// Standard input and output.
    Stdio,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) channel: Channel,
    pub(crate) root: PathBuf,
    /// How far to stand back, as nice(1).
    pub(crate) nice: u8,
    /// A folder of its own.
    pub(crate) scratch: Option<PathBuf>,
}

impl Args {
    /// From the arguments, the program's name apart.
    pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut args = args.into_iter();
        let (mut channel, mut root, mut nice, mut scratch) = (None, None, None, None);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("`{}` needs a value", arg.display()));
            let repeated = match arg.to_str() {
                Some("--stdio") => channel.replace(Channel::Stdio).is_some(),
                Some("--socket") => channel.replace(Channel::Socket(value()?.into())).is_some(),
                Some("--root") => root.replace(PathBuf::from(value()?)).is_some(),
                Some("--scratch") => scratch.replace(PathBuf::from(value()?)).is_some(),
                Some("--nice") => nice.replace(priority(&value()?)?).is_some(),
                _ => return Err(format!("unknown argument `{}`", arg.display())),
            };
            if repeated {
                return Err(format!("`{}` comes on top of another", arg.display()));
            }
        }
        Ok(Self {
            channel: channel.ok_or("`--socket PATH` or `--stdio` is missing")?,
            root: root.ok_or("`--root PATH` is missing")?,
            nice: nice.unwrap_or(0),
            scratch,
        })
    }
}

fn priority(value: &OsStr) -> Result<u8, String> {
    let nice = value.to_str().and_then(|text| text.parse().ok()).filter(|nice| *nice < 20);
    nice.ok_or_else(|| format!("`{}` is not a priority of 0 to 19", value.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: Result<Channel, &str>) {
        let got = Args::parse(line.split_whitespace().map(OsString::from));
        match (got, want) {
            (Ok(args), Ok(channel)) => {
                let nice = if line.contains("--nice") { 10 } else { 0 };
                let scratch = line.contains("--scratch").then(|| "/scratch".into());
                assert_eq!(args, Args { channel, root: "/source".into(), nice, scratch }, "{line}");
            }
            (Err(got), Err(want)) => assert!(got.contains(want), "{line}: {got}"),
            (got, want) => panic!("{line}: {got:?}, not {want:?}"),
        }
    }

    #[test]
    fn one_channel_and_one_root() {
        check("--socket /run/s --root /source", Ok(Channel::Socket("/run/s".into())));
        check("--root /source --stdio", Ok(Channel::Stdio));
        check("--root /source --stdio --nice 10", Ok(Channel::Stdio));
        check("--root /source --scratch /scratch --stdio", Ok(Channel::Stdio));
        check("--root /source --stdio --nice 20", Err("`20` is not a priority of 0 to 19"));
        check("--root /source --stdio --nice -1", Err("`-1` is not a priority of 0 to 19"));
        check("--root /source", Err("`--socket PATH` or `--stdio` is missing"));
        check("--stdio", Err("`--root PATH` is missing"));
        check("--stdio --socket /s --root /source", Err("comes on top"));
        check("--root", Err("needs a value"));
        check("--help", Err("unknown argument `--help`"));
    }
}
