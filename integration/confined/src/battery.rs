//! The attempts. Each is harmless to the host if it should succeed: flags that only ask, zero lengths, the
//! value that is there already.

#![expect(unsafe_code, reason = "the calls that must be refused have no safe wrapper")]

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use syscalls::{Errno, Sysno, syscall};

/// Runs all of them. What ends this process is tried last.
pub(crate) fn run(answer: &mut impl Write) -> io::Result<()> {
    let mut tell = |name: &str, outcome: Result<(), String>| match outcome {
        Ok(()) => writeln!(answer, "allowed {name}"),
        Err(why) => writeln!(answer, "denied {name}: {why}"),
    };
    for (name, outcome) in network().into_iter().chain(files()) {
        tell(name, outcome)?;
    }
    for (name, outcome) in raw_calls() {
        tell(name, outcome)?;
    }
    tell("threads without end", endless_threads())?;
    for line in fs::read_to_string("/proc/self/status")?.lines() {
        writeln!(answer, "status {line}")?;
    }
    writeln!(answer, "end")
}

type Outcome = (&'static str, Result<(), String>);

fn words<T>(result: io::Result<T>) -> Result<(), String> {
    result.map(drop).map_err(|e| e.to_string())
}

fn network() -> Vec<Outcome> {
    let abroad = "1.1.1.1:53".parse();
    let connect = abroad
        .map_err(io::Error::other)
        .and_then(|to| TcpStream::connect_timeout(&to, Duration::from_secs(1)));
    vec![
        ("connect to the world", words(connect)),
        ("udp", words(UdpSocket::bind("127.0.0.1:0"))),
        ("connect to the host", words(TcpStream::connect("172.17.0.1:22"))),
    ]
}

fn files() -> Vec<Outcome> {
    let append = |path: &str| words(OpenOptions::new().append(true).open(path));
    vec![
        ("write to /", words(File::create("/x"))),
        ("write beside the binary", words(OpenOptions::new().append(true).open("/backupd-helper"))),
        ("write to the source", words(File::create("/source/x"))),
        ("chmod in the source", words(fs::set_permissions("/source/keep", permissions()))),
        ("remove from the source", words(fs::remove_file("/source/keep"))),
        ("write to the socket's folder", words(File::create("/run/backupd/x"))),
        ("sysrq", append("/proc/sysrq-trigger")),
        ("core pattern", append("/proc/sys/kernel/core_pattern")),
        ("kernel settings", append("/proc/sys/vm/drop_caches")),
        ("sys", append("/sys/kernel/uevent_helper")),
        ("sys devices", append("/sys/power/state")),
        ("cgroup", append("/sys/fs/cgroup/memory/memory.limit_in_bytes")),
        ("kernel memory", words(File::open("/dev/mem"))),
        ("kernel symbols", words(File::open("/proc/kcore").and_then(|mut f| f.read_exact(&mut [0])))),
        ("the host's disk", words(File::open("/dev/sda").or_else(|_missing| File::open("/dev/vda")))),
        ("a shared memory folder", words(File::create("/dev/shm/x"))),
        ("another process", words(Command::new("/backupd-helper").arg("sleep").spawn())),
    ]
}

fn permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o777)
}

/// Refused is what never looked at its arguments; any other error means that the call itself was reached.
fn refused(result: Result<usize, Errno>) -> Result<(), String> {
    match result {
        Err(e @ (Errno::EPERM | Errno::EACCES | Errno::ENOSYS)) => Err(e.to_string()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// One call; the kernel's answer in its own words.
macro_rules! attempt {
    ($name:literal, $call:ident $(, $arg:expr)*) => {
        // SAFETY: all pointers among the arguments are null or outlive the call, and every call that
        // could change the process's memory is given none of ours to write to.
        ($name, refused(unsafe { syscall!(Sysno::$call $(, $arg)*) }))
    };
}

fn raw_calls() -> Vec<Outcome> {
    let mut all = sockets();
    all.extend(mounts_and_namespaces());
    all.extend(kernel());
    all.extend(identity());
    all
}

fn sockets() -> Vec<Outcome> {
    const RAW: usize = 3;
    vec![
        attempt!("socket AF_INET", socket, 2, 1, 0),
        attempt!("socket AF_INET6", socket, 10, 1, 0),
        attempt!("socket AF_INET raw", socket, 2, RAW, 1),
        attempt!("socket AF_NETLINK", socket, 16, RAW, 0),
        attempt!("socket AF_PACKET", socket, 17, RAW, 0),
        attempt!("socket AF_ALG", socket, 38, 5, 0),
        attempt!("socket AF_VSOCK", socket, 40, 1, 0),
    ]
}

fn mounts_and_namespaces() -> Vec<Outcome> {
    const NEW_USER: usize = 0x1000_0000;
    const NEW_NS: usize = 0x0002_0000;
    const REMOUNT_BIND: usize = 0x20 | 0x1000;
    const DEVICE: usize = 0o060_600;
    const AT_FDCWD: isize = -100;
    const SIGCHLD: usize = 17;
    let (root, source, tmpfs) = (c"/".as_ptr(), c"/source".as_ptr(), c"tmpfs".as_ptr());
    let null = std::ptr::null::<u8>();
    let own = File::open("/proc/self/ns/mnt").ok();
    let own = own.as_ref().map_or(-1, |f| f.as_raw_fd());
    let mut handle = [0_u8; 136];
    handle[0] = 128;
    let mut mount_id = 0_i32;
    let folder = File::open("/source").ok();
    let folder = folder.as_ref().map_or(-1, |f| f.as_raw_fd());
    // SAFETY: handle and mount id are as large as the call says and outlive it.
    let named = unsafe {
        syscall!(Sysno::name_to_handle_at, AT_FDCWD, source, handle.as_mut_ptr(), &raw mut mount_id, 0)
    };
    vec![
        ("name_to_handle_at", refused(named)),
        attempt!("open_by_handle_at", open_by_handle_at, folder, handle.as_mut_ptr(), 0),
        attempt!("mount", mount, tmpfs, source, tmpfs, 0, null),
        attempt!("remount the source writable", mount, null, source, null, REMOUNT_BIND, null),
        attempt!("umount", umount2, source, 0),
        attempt!("fsopen", fsopen, tmpfs, 0),
        attempt!("open_tree", open_tree, AT_FDCWD, root, 1),
        attempt!("pivot_root", pivot_root, root, root),
        attempt!("chroot", chroot, source),
        attempt!("mknod a disk", mknodat, AT_FDCWD, c"/dev/x".as_ptr(), DEVICE, 0x800),
        ("open a disk that was made", words(File::open("/dev/x"))),
        attempt!("unshare user", unshare, NEW_USER),
        attempt!("unshare mount", unshare, NEW_NS),
        attempt!("setns", setns, own, 0),
        attempt!("clone a user namespace", clone, NEW_USER | SIGCHLD, 0, 0, 0, 0),
        attempt!("clone3", clone3, null, 0),
    ]
}

fn kernel() -> Vec<Outcome> {
    const CAD_OFF: usize = 0;
    let null = std::ptr::null::<u8>();
    let name = |text: &'static CStr| text.as_ptr();
    let now = [0_i64; 2];
    vec![
        attempt!("ptrace", ptrace, 0, 0, 0, 0),
        attempt!("process_vm_readv", process_vm_readv, 1, null, 0, null, 0, 0),
        attempt!("kcmp", kcmp, 1, 1, 0, 0, 0),
        attempt!("bpf", bpf, 0, null, 0),
        attempt!("perf_event_open", perf_event_open, null, 0, usize::MAX, usize::MAX, 0),
        attempt!("userfaultfd", userfaultfd, 1),
        attempt!("io_uring_setup", io_uring_setup, 1, null),
        attempt!("keyctl", keyctl, 0, -3_isize, 0),
        attempt!("add_key", add_key, name(c"user"), name(c"x"), name(c"x"), 1, -3_isize),
        attempt!("init_module", init_module, null, 0, name(c"")),
        attempt!("delete_module", delete_module, name(c"none-such"), 0),
        attempt!("kexec_load", kexec_load, 0, 0, null, 0),
        attempt!("reboot", reboot, 0xfee1_dead_usize, 672_274_793, CAD_OFF, null),
        attempt!("swapon", swapon, name(c"/none-such"), 0),
        attempt!("settimeofday", settimeofday, null, now.as_ptr()),
        attempt!("clock_settime", clock_settime, 0, now.as_ptr()),
        attempt!("sethostname", sethostname, name(c"x"), 1),
        attempt!("acct", acct, name(c"/source/none-such")),
        attempt!("quotactl", quotactl, 0x80_0001, null, 0, null),
        attempt!("syslog", syslog, 10, null, 0),
        attempt!("fanotify_init", fanotify_init, 0, 0),
        attempt!("memfd_create", memfd_create, name(c"x"), 0),
        #[cfg(target_arch = "x86_64")]
        attempt!("iopl", iopl, 3),
        #[cfg(target_arch = "x86_64")]
        attempt!("ioperm", ioperm, 0x80, 1, 1),
    ]
}

fn identity() -> Vec<Outcome> {
    const PR_CAP_AMBIENT: usize = 47;
    const RAISE: usize = 2;
    const SYS_ADMIN: usize = 21;
    const DAC_OVERRIDE: usize = 1;
    // Version 3 and this process; then effective, permitted and inheritable in two halves: everything.
    let header = [0x2008_0522_u32, 0];
    let all = [u32::MAX; 6];
    vec![
        attempt!("setuid", setuid, 1),
        attempt!("setgroups", setgroups, 0, std::ptr::null::<u8>()),
        attempt!("take all capabilities", capset, header.as_ptr(), all.as_ptr()),
        attempt!("raise CAP_SYS_ADMIN", prctl, PR_CAP_AMBIENT, RAISE, SYS_ADMIN, 0, 0),
        attempt!("raise CAP_DAC_OVERRIDE", prctl, PR_CAP_AMBIENT, RAISE, DAC_OVERRIDE, 0, 0),
    ]
}

/// Each thread is a process to the kernel; the limit must come before the host's.
fn endless_threads() -> Result<(), String> {
    const FAR_TOO_MANY: usize = 2000;
    for n in 0..FAR_TOO_MANY {
        let thread =
            thread::Builder::new().stack_size(16 << 10).spawn(|| thread::sleep(Duration::from_secs(60)));
        if let Err(e) = thread {
            return Err(format!("after {n}: {e}"));
        }
    }
    Ok(())
}
