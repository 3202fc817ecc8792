//! What a helper may do: read or write one mount, and speak through one socket. Nothing else. One that takes a picture of
//! what it reads has an empty volume beside it for as long as it lives.
//!
//! It handles the bytes of strangers as root, so each door is shut on its own: no network, a read-only root,
//! no capability that its one job does not need, no gain of any through an exec, a list of the system calls
//! that it uses, limits on memory, processes and descriptors, no core dump of somebody's data, no log file.
//! **Invariant:** `open_by_handle_at` stays out of the list; with `DAC_READ_SEARCH` it reads any file of the
//! host, whatever is mounted.

use std::collections::HashMap;

use bollard::models::{
    HostConfig, HostConfigLogConfig, Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType,
    MountVolumeOptions, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use crate::port::docker::{Access, HelperMount, HelperSpec, OWNER_LABEL, RUN_LABEL, SCRATCH_LABEL};
use crate::words::RunId;

/// The system calls of a static Linux program that handles files and threads.
///
/// `clone` only makes threads. `clone3` cannot be judged by its arguments, so it is said to be missing, and
/// the C library falls back to `clone`; engines before 20.10.10 cannot say that, and the helper fails there.
const SECCOMP: &str = include_str!("seccomp.json");

/// Where the helper finds what it is about.
pub(super) const SOURCE: &str = "/source";

/// Where the helper finds its scratch volume, if it has one.
pub(super) const SCRATCH: &str = "/scratch";

/// Where the helper finds the folder of its socket.
pub(super) const SOCKET_FOLDER: &str = "/run/backupd";

/// A deep tree keeps a descriptor a level; no more than any engine lets its containers have.
const DESCRIPTORS_MAX: i64 = 4096;

/// When memory runs out, what is ours goes before the databases of others.
pub(super) const OOM_SCORE: i64 = 500;

/// What stands at [`SOCKET_FOLDER`].
pub(super) enum SocketMount<'a> {
    /// A private folder of this machine.
    Folder(&'a str),
    /// A volume, because we run in a container ourselves.
    Volume(&'a str),
    /// Nothing: the channel is standard input and output.
    None,
}

pub(super) fn labels(spec: &HelperSpec) -> HashMap<String, String> {
    labels_of(&spec.run, &spec.owner)
}

/// What a volume carries that the engine made for a helper, because there was none. A scratch volume has the labels of its
/// run as well, and was made on purpose.
pub(super) const NEW_LABEL: &str = "backupd.new";

fn new_labels(spec: &HelperSpec) -> HashMap<String, String> {
    let new = (NEW_LABEL.to_owned(), spec.run.to_string());
    labels(spec).into_iter().chain([new]).collect()
}

/// What every container of ours carries.
pub(super) fn labels_of(run: &RunId, owner: &str) -> HashMap<String, String> {
    HashMap::from([(RUN_LABEL.to_owned(), run.to_string()), (OWNER_LABEL.to_owned(), owner.to_owned())])
}

pub(super) fn host_config(spec: &HelperSpec, socket: &SocketMount<'_>) -> HostConfig {
    let memory = i64::try_from(spec.memory_bytes).unwrap_or(i64::MAX);
    let read_only = spec.access == Access::Read;
    let mut mounts = vec![match &spec.mount {
        HelperMount::Volume(name) => volume(name, SOURCE, read_only, new_labels(spec)),
        HelperMount::Folder(path) => bind(path, SOURCE, read_only),
    }];
    match socket {
        SocketMount::Folder(path) => mounts.push(bind(path, SOCKET_FOLDER, true)),
        SocketMount::Volume(name) => mounts.push(volume(name, SOCKET_FOLDER, true, labels(spec))),
        SocketMount::None => {}
    }
    if spec.scratch {
        mounts.push(scratch(spec));
    }
    HostConfig {
        auto_remove: Some(false),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        network_mode: Some("none".to_owned()),
        ipc_mode: Some("none".to_owned()),
        readonly_rootfs: Some(true),
        privileged: Some(false),
        init: Some(false),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(capabilities(spec.access).iter().map(|&name| name.to_owned()).collect()),
        security_opt: Some(vec![
            "no-new-privileges".to_owned(),
            format!("seccomp={SECCOMP}"),
            // Where SELinux confines containers, each has a label of its own and could not read another's files.
            "label=disable".to_owned(),
        ]),
        memory: Some(memory),
        // The same sum with swap: no swap at all.
        memory_swap: Some(memory),
        pids_limit: Some(spec.pids.into()),
        cpu_shares: share(spec.nice),
        // An engine whose kernel knows no such weights says so in a warning, and goes on without.
        blkio_weight: share(spec.nice).map(|share| u16::try_from(share / 2).unwrap_or(500).max(10)),
        ulimits: Some(vec![limit("nofile", DESCRIPTORS_MAX), limit("core", 0)]),
        oom_score_adj: Some(OOM_SCORE),
        mounts: Some(mounts),
        ..Default::default()
    }
}

/// The kernel's own weights of nice(1): each step is a tenth of a busy processor. Within its container a helper is alone,
/// so its priority as a process counts for the disk, and this counts for the processor.
const SHARES: [i64; 20] =
    [1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15];

/// What others have is 1024, which is the engine's to say.
pub(super) fn share(nice: u8) -> Option<i64> {
    match nice {
        0 => None,
        nice => SHARES.get(usize::from(nice)).or(SHARES.last()).copied(),
    }
}

/// Reading needs one; writing, what gives owners, modes, devices and file capabilities back.
fn capabilities(access: Access) -> &'static [&'static str] {
    match access {
        Access::Read => &["DAC_READ_SEARCH"],
        Access::Write => &["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"],
    }
}

/// Without a name the engine makes it and removes it with the container.
fn scratch(spec: &HelperSpec) -> Mount {
    let of_run = (SCRATCH_LABEL.to_owned(), spec.run.to_string());
    let labels = labels(spec).into_iter().chain([of_run]).collect();
    Mount { source: None, ..volume("", SCRATCH, false, labels) }
}

/// The labels are for a volume that the engine makes because it is missing: that is how we know it again.
pub(super) fn volume(name: &str, target: &str, read_only: bool, labels: HashMap<String, String>) -> Mount {
    Mount {
        target: Some(target.to_owned()),
        source: Some(name.to_owned()),
        typ: Some(MountType::VOLUME),
        read_only: Some(read_only),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            labels: Some(labels),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// What is mounted below the folder comes with it, so that the helper sees that there is another mount and
/// can say that it leaves it out; an empty folder in its place would be silence.
fn bind(path: &str, target: &str, read_only: bool) -> Mount {
    Mount {
        target: Some(target.to_owned()),
        source: Some(path.to_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) fn limit(name: &str, most: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(most), hard: Some(most) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn allowed() -> Vec<String> {
        let profile: Value = serde_json::from_str(SECCOMP).unwrap();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let rules = profile["syscalls"].as_array().unwrap().iter();
        rules
            .filter(|rule| rule["action"] == "SCMP_ACT_ALLOW" && rule["args"].as_array().is_none())
            .flat_map(|rule| rule["names"].as_array().unwrap())
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_ways_out_are_not_on_the_list() {
        let allowed = allowed();
        for call in "open_by_handle_at name_to_handle_at mount umount2 move_mount open_tree fsopen fsmount \
                     mount_setattr pivot_root chroot unshare setns clone clone3 fork vfork ptrace \
                     process_vm_readv process_vm_writev kcmp pidfd_getfd bpf perf_event_open userfaultfd keyctl \
                     add_key request_key io_uring_setup init_module finit_module delete_module kexec_load \
                     kexec_file_load reboot swapon swapoff settimeofday clock_settime adjtimex sethostname \
                     iopl ioperm acct quotactl syslog socket socketpair bind listen accept accept4 \
                     fanotify_init personality setuid setgid setgroups memfd_create"
            .split_whitespace()
        {
            assert!(!allowed.iter().any(|name| name == call), "`{call}` is allowed");
        }
    }

    #[test]
    fn the_kinder_a_helper_the_smaller_its_share() {
        assert_eq!((share(0), share(1), share(10), share(19)), (None, Some(820), Some(110), Some(15)));
        assert_eq!(share(255), Some(15));
        assert!(allowed().contains(&"setpriority".to_owned()));
    }

    #[test]
    fn no_system_call_is_listed_twice() {
        let mut names = allowed();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
