//! Clients of databases, called by scripts of ours inside the container.
//!
//! Always true: a script is fixed text. What differs is passed as its arguments or through its input, so no word of a
//! label, a policy or a server becomes part of it; and passwords are read where they are, in the container's own
//! environment and files, by the script, so none is ever seen out here or in a list of processes.

use std::time::Duration;

use crate::failure::{Class, Failure};
use crate::usecase::guest::Said;
use crate::usecase::recipe::place::Place;

/// A server that is well answers sooner.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Who may read the files with passwords, and use the sockets.
pub(super) const ROOT: Option<&str> = Some("0");

/// A script with arguments, as a program.
pub(super) fn argv<'a>(script: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    [&["sh", "-c", script, "backupd"][..], words].concat()
}

/// What a script said that did its work; else why not.
pub(super) fn answer(place: &Place, server: &str, said: Said) -> Result<String, Failure> {
    let name = &place.container.name;
    if said.was_not_started() {
        let what = format!("{server} in container `{name}` cannot be asked: its client is missing");
        return Err(Failure::new(Class::Unsafe, what).because(said.last_words).hint(format!(
            "use an image of {server} that has it, as the official ones do, or choose mode `stop` or `pause`"
        )));
    }
    if said.status == 0 {
        return Ok(said.stdout);
    }
    Err(refused(place, server, &said.last_words).unwrap_or_else(|| {
        let what = format!("{server} in container `{name}` does not answer");
        Failure::failed(what).because(said.ending()).hint(format!("`docker logs {name}` may tell why"))
    }))
}

/// Whether a server's words mean that it does not let us in, and the failure that this is.
pub(super) fn refused(place: &Place, server: &str, words: &str) -> Option<Failure> {
    const SIGNS: [&str; 7] =
        ["ERROR 1045", "ERROR 1698", "ERROR 1227", "Access denied", "NOAUTH", "WRONGPASS", "NOPERM"];
    let name = &place.container.name;
    SIGNS.iter().any(|sign| words.contains(sign)).then(|| {
        Failure::new(Class::WrongKey, format!("{server} in container `{name}` does not let us in"))
            .because(words.trim().to_owned())
            .hint(format!(
                "the password is taken from the environment of `{name}`; if it was changed in the server since, make the \
                 container again with the new one"
            ))
    })
}
