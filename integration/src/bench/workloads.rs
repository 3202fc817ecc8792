//! The volumes that we measure on: what a backup of a Docker host meets most.

mod change;

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::noise::Noise;

const MIB: u64 = 1 << 20;
const PAGE_BYTES: usize = 8192;

/// One kind of volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Pages of a database.
    Database,
    /// Ring-buffer files of a metrics server.
    Metrics,
    /// Many small files.
    Small,
    /// Nothing compresses.
    Random,
    /// Mostly holes.
    Sparse,
    /// The pieces of the sparse one without its holes.
    Dense,
}

impl Workload {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 6] =
        [Self::Database, Self::Metrics, Self::Small, Self::Random, Self::Sparse, Self::Dense];

    /// As people name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Metrics => "metrics",
            Self::Small => "small",
            Self::Random => "random",
            Self::Sparse => "sparse",
            Self::Dense => "dense",
        }
    }

    /// A file that every volume of this kind has, for restoring just one.
    pub fn one_file(self) -> &'static str {
        match self {
            Self::Database => "base/16384/3",
            Self::Metrics => "servers/7/0007.wsp",
            Self::Small => "7/0007",
            Self::Random => "1",
            Self::Sparse | Self::Dense => "1.img",
        }
    }

    /// Fills an empty folder; `scale` 1 is the size that the documents speak of. Gives the apparent bytes.
    pub fn fill(self, folder: &Path, scale: f64) -> io::Result<u64> {
        match self {
            Self::Database => database(folder, scaled(2048, scale)),
            Self::Metrics => metrics(folder, scaled(20_000, scale)),
            Self::Small => small(folder, scaled(100_000, scale)),
            Self::Random => random(folder, scaled(1024, scale)),
            Self::Sparse => sparse(folder, scaled(5 * 1024, scale), 100),
            Self::Dense => sparse(folder, scaled(5 * 1024, scale).div_ceil(100), 1),
        }
    }
}

impl Workload {
    /// What a day does to it. The same `day` does the same to the same volume; the next one goes on from there.
    pub fn live(self, folder: &Path, day: u64) -> io::Result<()> {
        let noise = &mut Noise::new(100 + day);
        match self {
            Self::Database => change::pages(folder, noise),
            Self::Metrics => change::points(folder, noise),
            Self::Small => change::files(folder, noise, day),
            Self::Random => change::moves(folder, noise, day),
            Self::Sparse | Self::Dense => change::piece(folder, noise),
        }
    }
}

/// At least eight, so that the one file is there whatever the scale.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes of a benchmark are small")]
fn scaled(full: u32, scale: f64) -> u64 {
    ((f64::from(full) * scale) as u64).max(8)
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(BufWriter::with_capacity(256 << 10, File::create(path)?))
}

/// Relations of pages that hold rows of ids, times, hexadecimal keys and words: seven large ones, and a 64th of
/// the whole in the one that is restored by itself.
fn database(folder: &Path, mib: u64) -> io::Result<u64> {
    let noise = &mut Noise::new(1);
    let pages = mib * MIB / PAGE_BYTES as u64;
    let pages_of = |relation| if relation == 3 { pages / 64 } else { (pages - pages / 64) / 7 };
    let mut id = 0_u64;
    for relation in 1..=8 {
        let mut out = create(&folder.join(format!("base/16384/{relation}")))?;
        for number in 0..pages_of(relation) {
            out.write_all(&page(noise, number, &mut id))?;
        }
        out.flush()?;
    }
    Ok((1..=8).map(pages_of).sum::<u64>() * PAGE_BYTES as u64)
}

const WORDS: &[&str] = &[
    "pending",
    "shipped",
    "returned",
    "customer",
    "invoice",
    "warehouse",
    "express",
    "standard",
    "refund",
    "north",
    "south",
    "gift",
    "priority",
    "cancelled",
    "partial",
    "delivered",
    "billing",
    "address",
    "contact",
    "archive",
];

fn page(noise: &mut Noise, number: u64, id: &mut u64) -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    page[..8].copy_from_slice(&(number * 0x1_0000 + noise.below(0x4000)).to_le_bytes());
    // Pages are seldom full.
    let full = PAGE_BYTES - 200 - usize::try_from(noise.below(1600)).unwrap_or_default();
    let mut at = 24;
    while at < full {
        *id += 1;
        let key = noise.number();
        let words = (noise.pick(WORDS), noise.pick(WORDS), noise.pick(WORDS));
        let row = format!(
            "{id:>10}|2026-11-{:02} 1{}:{:02}:00|{:016x}|{} {} {}|{:>6}.00|    ",
            1 + noise.below(28),
            noise.below(10),
            noise.below(60),
            key,
            words.0,
            words.1,
            words.2,
            noise.below(90_000),
        );
        let end = (at + row.len()).min(full);
        page[at..end].copy_from_slice(&row.as_bytes()[..end - at]);
        at = end;
    }
    page
}

/// Files of one size: a header, then points of a time and a number that wanders.
fn metrics(folder: &Path, files: u64) -> io::Result<u64> {
    const POINTS: u32 = 4_320;
    let noise = &mut Noise::new(2);
    let mut bytes = 0;
    for i in 0..files {
        let mut out = create(&folder.join(format!("servers/{}/{i:04}.wsp", i % 100)))?;
        out.write_all(&[0, 0, 0, 1, 0, 1, 81, 128, 63, 0, 0, 0, 0, 0, 0, 1])?;
        let mut value = f64::from(u32::try_from(noise.below(1000)).unwrap_or_default());
        for point in 0..POINTS {
            value += f64::from(i32::try_from(noise.below(200)).unwrap_or_default() - 100) / 16.0;
            out.write_all(&(1_790_000_000 + point * 60).to_be_bytes())?;
            out.write_all(&value.to_be_bytes())?;
        }
        out.flush()?;
        bytes += 16 + u64::from(POINTS) * 12;
    }
    Ok(bytes)
}

/// Texts of 1 to 8 KiB in a thousand folders.
fn small(folder: &Path, files: u64) -> io::Result<u64> {
    let noise = &mut Noise::new(3);
    let mut bytes = 0;
    for i in 0..files {
        let mut text = String::new();
        let length = 1024 + usize::try_from(noise.below(7 * 1024)).unwrap_or_default();
        while text.len() < length {
            text.push_str(noise.pick::<&str>(WORDS));
            text.push_str(&format!(" {:x}\n", noise.below(0x10_0000)));
        }
        let mut out = create(&folder.join(format!("{}/{i:04}", i % 1000)))?;
        out.write_all(text.as_bytes())?;
        out.flush()?;
        bytes += text.len() as u64;
    }
    Ok(bytes)
}

/// Four files of noise.
fn random(folder: &Path, mib: u64) -> io::Result<u64> {
    let noise = &mut Noise::new(4);
    let mut piece = vec![0; 1 << 20];
    for file in 0..4 {
        let mut out = create(&folder.join(file.to_string()))?;
        for _ in 0..mib / 4 {
            noise.fill(&mut piece);
            out.write_all(&piece)?;
        }
        out.flush()?;
    }
    Ok(mib / 4 * 4 * MIB)
}

/// Four images, in which one MiB of `every` is there.
fn sparse(folder: &Path, mib_each: u64, every: usize) -> io::Result<u64> {
    let noise = &mut Noise::new(5);
    let mut piece = vec![0; 1 << 20];
    for image in 0..4 {
        let mut out = create(&folder.join(format!("{image}.img")))?.into_inner().map_err(io::Error::other)?;
        out.set_len(mib_each * MIB)?;
        for at in (0..mib_each).step_by(every) {
            noise.fill(&mut piece);
            out.seek(SeekFrom::Start(at * MIB))?;
            out.write_all(&piece)?;
        }
    }
    Ok(4 * mib_each * MIB)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn volumes_have_their_one_file_and_are_the_same_each_time() {
        for workload in Workload::ALL {
            let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let scale = if workload == Workload::Sparse { 0.02 } else { 0.001 };
            assert_eq!(workload.fill(a.path(), scale).unwrap(), workload.fill(b.path(), scale).unwrap());
            let one = |dir: &Path| fs::read(dir.join(workload.one_file())).unwrap();
            assert!(one(a.path()) == one(b.path()), "{}", workload.name());
            for day in 1..4 {
                workload.live(a.path(), day).unwrap();
                workload.live(b.path(), day).unwrap();
            }
            assert!(one(a.path()) == one(b.path()), "{} after three days", workload.name());
        }
    }

    #[test]
    fn a_sparse_volume_is_mostly_holes() {
        let dir = tempfile::tempdir().unwrap();
        Workload::Sparse.fill(dir.path(), 0.05).unwrap();
        let image = fs::metadata(dir.path().join("1.img")).unwrap();
        assert!(image.blocks() * 512 * 20 < image.len());
    }
}
