//! The table of keys: the one place that knows what may stand in a policy file.
//!
//! Parser and schema walk it, so they cannot disagree. To add a key, add a line here and a field in
//! `terms.rs`.

use crate::policy::dump;
use crate::policy::key::Key;
use crate::policy::key::Kind::{
    Bytes, Flag, Level, Speed, Table, Tables, Text, Texts, Time, Whole, Word, Words,
};
use crate::policy::terms::{Event, Mode, OnUnfreezable, Reread};
use crate::policy::texts::{
    container_mount, docker_name, folder, label, line, schedule, store, volume, web, word, zone,
};
use crate::select::Glob;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;
const COUNT_MAX: u32 = 10_000;
const MIB: u64 = 1 << 20;

const fn key(name: &'static str, about: &'static str, kind: crate::policy::key::Kind) -> Key {
    Key { name, about, kind }
}

/// A policy file.
pub(crate) static POLICY: &[Key] = &[
    key(
        "nothing",
        "why these sources are not backed up: `because …`; only `[select]` may stand beside it",
        Text(|d, t| line(t).map(|t| d.nothing = Some(t))),
    ),
    key(
        "schedule",
        "when: a line of crontab(5), five fields, or six with seconds in front",
        Text(|d, t| schedule(t).map(|t| d.schedule = Some(t))),
    ),
    key(
        "time_zone",
        "the IANA name of the zone in which `schedule` is meant; UTC if left out",
        Text(|d, t| zone(t).map(|zone| d.time_zone = zone)),
    ),
    key(
        "jitter",
        "runs begin up to this much later, another time on each host; 0s if left out",
        Time(0..=DAY, |d, t| d.jitter = t),
    ),
    key(
        "store",
        "where its snapshots live, without keys: `s3://bucket/prefix?…` or `file:///dir`; the settings' if left out",
        Text(|d, t| store(t).map(|t| d.store = Some(t))),
    ),
    key(
        "select",
        "which sources; those with the label `backupd.policy` always come in addition",
        Table(SELECT),
    ),
    key("consistency", "how the files of a snapshot come to be of one moment", Table(CONSISTENCY)),
    key("keep", "how many snapshots are kept; all of them if left out", Table(KEEP)),
    key("guard", "changes of a source that hold its pruning until somebody acknowledges them", Table(GUARD)),
    key("drill", "rehearsed restores", Table(DRILL)),
    key("limits", "how much of the host runs may take", Table(LIMITS)),
    key("notify", "who is told of what", Table(NOTIFY)),
    key("pack", "how snapshots are packed", Table(PACK)),
];

static SELECT: &[Key] = &[
    key(
        "volumes",
        "names of volumes, with `*` and `?`; `!` in front takes away",
        Texts(|d, t| volume(t).map(|()| d.select.volumes.add(t))),
    ),
    key(
        "mounts",
        "what containers have mounted: `container:/mount/point`, with `*` and `?`; `!` in front takes away",
        Texts(|d, t| container_mount(t).map(|()| d.select.mounts.add(t))),
    ),
    key(
        "paths",
        "bind-mounted folders of the host, with `*` and `?`; only under roots that the settings allow",
        Texts(|d, t| folder(t).map(|()| d.select.paths.add(t))),
    ),
    key(
        "labels",
        "labels that the volume must have, all of them: `key` or `key=value`",
        Texts(|d, t| label(t).map(|t| d.select.labels.extend([t]))),
    ),
    key(
        "container_labels",
        "labels that a container which uses the source must have, all of them",
        Texts(|d, t| label(t).map(|t| d.select.container_labels.extend([t]))),
    ),
    key(
        "project",
        "the compose project that the source must belong to, with `*` and `?`",
        Text(|d, t| docker_name(t).map(|()| d.select.project = Some(Glob::new(t)))),
    ),
    key(
        "rest",
        "all volumes that no other policy claims; one policy of a folder may say so",
        Flag(|d, on| d.select.rest = on),
    ),
];

static CONSISTENCY: &[Key] = &[
    key(
        "mode",
        "`live` copies while writers run; `pause` and `stop` hold them; `hooks` runs your commands; `dump` keeps \
         what your commands say; the others know one database each",
        Word(Mode::WORDS, |d, i| d.consistency.mode = Mode::ALL[i]),
    ),
    key(
        "set",
        "sources of one compose project are frozen at one moment and restored under one id",
        Flag(|d, on| d.consistency.set = on),
    ),
    key(
        "max_freeze",
        "how long writers may stand still; past it they run again and the backup fails; 60s if left out",
        Time(1..=HOUR, |d, t| d.consistency.max_freeze = t),
    ),
    key(
        "on_unfreezable",
        "where a writer cannot be held: `refuse`, which holds if left out, fails the run; `live` copies and \
         says so",
        Word(OnUnfreezable::WORDS, |d, i| d.consistency.on_unfreezable = OnUnfreezable::ALL[i]),
    ),
    key(
        "before",
        "for mode `hooks`: program and arguments, run in the container before files are read",
        Texts(|d, t| word(t).map(|t| d.consistency.before.push(t))),
    ),
    key(
        "after",
        "for mode `hooks`: as `before`, run afterwards whatever happened",
        Texts(|d, t| word(t).map(|t| d.consistency.after.push(t))),
    ),
    key(
        "reread",
        "`changed`, which holds if left out, reads files whose size, times or inode changed; `always` reads \
         all",
        Word(Reread::WORDS, |d, i| d.consistency.reread = Reread::ALL[i]),
    ),
    key(
        "only",
        "for mode `dump`: whether the source's own files are left out; true if left out, `false` copies them live",
        Flag(|d, on| d.consistency.only = on),
    ),
    key(
        "dumps",
        "for mode `dump`: programs whose output becomes a file of the snapshot, one `[[consistency.dumps]]` each",
        Tables(dump::KEYS, dump::REQUIRED, dump::begin),
    ),
];

static KEEP: &[Key] = &[
    key("last", "the newest so many", Whole(0..=COUNT_MAX, |d, n| d.keep.last = n)),
    key(
        "hourly",
        "one an hour, for so many hours that have one",
        Whole(0..=COUNT_MAX, |d, n| d.keep.hourly = n),
    ),
    key("daily", "one a day, for so many days that have one", Whole(0..=COUNT_MAX, |d, n| d.keep.daily = n)),
    key(
        "weekly",
        "one a week, for so many weeks that have one",
        Whole(0..=COUNT_MAX, |d, n| d.keep.weekly = n),
    ),
    key(
        "monthly",
        "one a month, for so many months that have one",
        Whole(0..=COUNT_MAX, |d, n| d.keep.monthly = n),
    ),
    key(
        "yearly",
        "one a year, for so many years that have one",
        Whole(0..=COUNT_MAX, |d, n| d.keep.yearly = n),
    ),
    key(
        "within",
        "all that are at most this much older than the newest",
        Time(1..=100 * YEAR, |d, t| d.keep.within = Some(t)),
    ),
    key(
        "by_hand",
        "how long snapshots made by hand are kept; 90d if left out; they use up no count",
        Time(HOUR..=100 * YEAR, |d, t| d.keep.by_hand = t),
    ),
    key(
        "grace",
        "how long a deleted snapshot can be undeleted; 7d if left out",
        Time(HOUR..=YEAR, |d, t| d.keep.grace = t),
    ),
];

static GUARD: &[Key] = &[
    key(
        "shrink_percent",
        "share of its bytes that a source may lose; 50 if left out, 100 switches it off",
        Whole(1..=100, |d, n| d.guard.shrink_percent = n),
    ),
    key(
        "file_loss_percent",
        "share of its files that a source may lose; 50 if left out, 100 switches it off",
        Whole(1..=100, |d, n| d.guard.file_loss_percent = n),
    ),
    key(
        "identity",
        "whether a database that became another one is held; true if left out",
        Flag(|d, on| d.guard.identity = on),
    ),
];

static DRILL: &[Key] = &[
    key("every", "at least this often", Time(HOUR..=YEAR, |d, t| d.drill.every = t)),
    key(
        "image",
        "another image than the recorded one; it must be on the host",
        Text(|d, t| word(t).map(|t| d.drill.image = Some(t))),
    ),
    key(
        "arguments",
        "what the server is started with, too: settings that are neither in the volume nor in the image",
        Texts(|d, t| word(t).map(|t| d.drill.arguments.push(t))),
    ),
    key(
        "memory",
        "what the database may use; 1GiB if left out",
        Bytes(32 * MIB..=MIB * MIB, |d, n| d.drill.memory_bytes = n),
    ),
    key(
        "timeout",
        "when it counts as failed; 30m if left out",
        Time(10..=7 * DAY, |d, t| d.drill.timeout = t),
    ),
];

static LIMITS: &[Key] = &[
    key(
        "concurrency",
        "sources of this policy at once; 1 if left out",
        Whole(1..=64, |d, n| d.limits.concurrency = n),
    ),
    key(
        "bandwidth",
        "speed to the store, of each run; no limit if left out",
        Speed(1 << 10..=MIB * MIB, |d, n| d.limits.bandwidth = Some(n)),
    ),
    key("nice", "priority of helpers, as nice(1); 10 if left out", Whole(0..=19, |d, n| d.limits.nice = n)),
];

pub(crate) static NOTIFY: &[Key] = &[
    key(
        "webhook",
        "where events are posted: `https://…`, or `file:///…` or `credential:NAME`, which hold that URL",
        Text(|d, t| web(t).map(|t| d.notify.webhook = Some(t))),
    ),
    key(
        "command",
        "program and arguments on the host, with the event on its standard input",
        Texts(|d, t| word(t).map(|t| d.notify.command.push(t))),
    ),
    key(
        "heartbeat",
        "asked for after every good run: an address as that of `webhook`",
        Text(|d, t| web(t).map(|t| d.notify.heartbeat = Some(t))),
    ),
    key("on", "which events; all if left out", Words(Event::WORDS, |d, i| d.notify.on.push(Event::ALL[i]))),
];

static PACK: &[Key] = &[
    key(
        "level",
        "how hard to compress: a zstd level, \"fast\", \"best\", or \"adaptive\", which goes up while the store is \
         slow; the settings' if left out",
        Level(|d, level| d.pack.level = Some(level)),
    ),
    key(
        "full_every",
        "a full snapshot at least this often; 30d if left out",
        Time(DAY..=10 * YEAR, |d, t| d.pack.full_every = t),
    ),
    key(
        "max_packs",
        "a full snapshot when more packs than this are behind one",
        Whole(2..=1_000, |d, n| d.pack.max_packs = Some(n)),
    ),
];
