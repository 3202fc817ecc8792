//! The container that this program runs in, if it runs in one: who holds it holds us, and then nobody is left who lets go.
//!
//! The kernel's list of mounts tells: engines give a container files of their own folder for it, which is named by its id.

use std::fs;

/// Files that every container is given by its engine.
const GIVEN: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// Digits of an id.
const DIGITS: usize = 64;

/// Its id, whole. On a host there is none.
pub(super) fn container() -> Option<String> {
    id_in(&fs::read_to_string("/proc/self/mountinfo").ok()?)
}

fn id_in(mounts: &str) -> Option<String> {
    let given = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (of, at) = (fields.next()?, fields.next()?);
        GIVEN.contains(&at).then_some(of)
    });
    let is_id = |name: &&str| name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    given.flat_map(|of| of.split('/')).find(is_id).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_where_an_engine_gives_files_and_nowhere_else() {
        let id = "0f".repeat(32);
        let line = |of: &str, at: &str| format!("612 589 254:0 {of} {at} rw,relatime - ext4 /dev/vda rw\n");
        let root = line("/", "/");
        let docker = line(&format!("/var/lib/docker/containers/{id}/hostname"), "/etc/hostname");
        let podman = line(&format!("/overlay-containers/{id}/userdata/resolv.conf"), "/etc/resolv.conf");
        for given in [docker, podman] {
            assert_eq!(id_in(&format!("{root}{given}")).as_ref(), Some(&id));
        }
        let volume = line(&format!("/var/lib/docker/volumes/{id}/_data"), "/data");
        let by_hand = line("/etc/hosts", "/etc/hosts");
        for none in [volume, by_hand, root, "no list of mounts\n".to_owned()] {
            assert_eq!(id_in(&none), None, "{none}");
        }
    }
}
