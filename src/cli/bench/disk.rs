//! The disk by itself: what a durable acknowledgement waits for, and how much it takes in a row.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, open, statfs, statvfs};

use super::super::failure::Failure;
use super::interrupt::Interrupt;
use crate::metrics::{Histogram, Times};

/// Room is reserved ahead in such steps, as the broker does.
const RESERVED_BYTES: u64 = 4 << 20;
/// Written between two syncs when it is the amount that counts, in pieces of a mebibyte.
const RUN_BYTES: u64 = 8 << 20;
/// All of it together takes at most this much, and this share of what is free.
const MOST_BYTES: u64 = 1 << 30;
const MOST_OF_FREE: u64 = 10;
/// `statfs` says this of a file system in memory (`linux/magic.h`).
const TMPFS_MAGIC: i64 = 0x0102_1994;
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// What the disk did.
#[derive(Debug)]
pub(super) struct Disk {
    /// The directory it was measured in.
    pub(super) dir: PathBuf,
    /// It is no disk: a file system in memory.
    pub(super) is_memory: bool,
    /// One record appended and synced, in turns with acknowledgements of such records. Most share a block with those
    /// before them, so that no block has to be found for them.
    pub(super) record: Times,
    /// 4 KiB appended and synced, again and again.
    pub(super) small: Synced,
    /// The same with 64 KiB.
    pub(super) large: Synced,
    /// Bytes per second of long writes, with their syncs.
    pub(super) bytes_per_second: f64,
}

/// Appends of one size, each followed by `fdatasync`.
#[derive(Debug)]
pub(super) struct Synced {
    pub(super) times: Times,
    pub(super) per_second: f64,
}

/// A file without a name: gone with the process, whatever happens to it.
#[derive(Debug)]
pub(super) struct Scratch {
    file: File,
    dir: PathBuf,
    end: u64,
    reserved: u64,
    limit: u64,
}

/// Measures the disk below `dir` for about as long as the three times say, all but [`Disk::record`], for which the file
/// is returned.
pub(super) fn measure(
    dir: &Path,
    times: [Duration; 3],
    interrupt: &Interrupt,
) -> Result<(Disk, Scratch), Failure> {
    let failed = |error: io::Error| Failure::file(dir, &error);
    let kind = statfs(dir).map_err(|error| failed(error.into()))?.f_type as i64;
    let free = statvfs(dir).map_err(|error| failed(error.into()))?;
    let limit = (free.f_bavail.saturating_mul(free.f_frsize) / MOST_OF_FREE).min(MOST_BYTES);
    if limit < 4 * RUN_BYTES {
        return Err(Failure::failed(format!(
            "{}: there is too little room on that disk to measure it; name another directory with --data-dir",
            dir.display()
        )));
    }
    let mut scratch =
        Scratch { file: nameless(dir).map_err(failed)?, dir: dir.to_owned(), end: 0, reserved: 0, limit };
    let disk = Disk {
        dir: dir.to_owned(),
        is_memory: [TMPFS_MAGIC, RAMFS_MAGIC].contains(&kind),
        record: Histogram::default().times(),
        small: scratch.several(4 << 10, times[0], interrupt)?,
        large: scratch.several(64 << 10, times[1], interrupt)?,
        bytes_per_second: scratch.in_a_row(times[2], interrupt)?,
    };
    // What follows goes into blocks of its own again.
    scratch.end = scratch.reserved;
    Ok((disk, scratch))
}

fn nameless(dir: &Path) -> io::Result<File> {
    let mode = Mode::RUSR | Mode::WUSR;
    match open(dir, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode) {
        Ok(file) => Ok(File::from(file)),
        // Some file systems have only files with names.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
            let path = dir.join(format!("quipu-bench-{}", crate::clock::Clock::real().random_u64()));
            let file = File::options().read(true).write(true).create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        }
        Err(error) => Err(error.into()),
    }
}

impl Scratch {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.end + bytes.len() as u64 > self.limit {
            // From the front again. The blocks are written already then, which makes a disk no slower.
            self.end = 0;
        }
        if self.end + bytes.len() as u64 > self.reserved {
            // Where that is not possible it costs what it costs.
            let _ = fallocate(&self.file, FallocateFlags::empty(), self.reserved, RESERVED_BYTES);
            self.reserved += RESERVED_BYTES;
        }
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn several(&mut self, bytes: usize, time: Duration, interrupt: &Interrupt) -> Result<Synced, Failure> {
        let histogram = Histogram::default();
        let began = Instant::now();
        self.synced(bytes, time, &histogram, interrupt)?;
        let times = histogram.times();
        let per_second = times.count() as f64 / began.elapsed().as_secs_f64();
        Ok(Synced { times, per_second })
    }

    /// Appends so many bytes and syncs them, again and again.
    pub(super) fn synced(
        &mut self,
        bytes: usize,
        time: Duration,
        histogram: &Histogram,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let content = vec![b'q'; bytes];
        let began = Instant::now();
        while began.elapsed() < time {
            interrupt.check()?;
            let before = Instant::now();
            self.append(&content)
                .and_then(|()| self.file.sync_data())
                .map_err(|error| Failure::file(&self.dir, &error))?;
            histogram.record(before.elapsed());
        }
        Ok(())
    }

    fn in_a_row(&mut self, time: Duration, interrupt: &Interrupt) -> Result<f64, Failure> {
        let content = vec![b'q'; 1 << 20];
        let began = Instant::now();
        let mut written = 0;
        while began.elapsed() < time {
            interrupt.check()?;
            let run = (0..RUN_BYTES / content.len() as u64).try_for_each(|_| self.append(&content));
            run.and_then(|()| self.file.sync_data()).map_err(|error| Failure::file(&self.dir, &error))?;
            written += RUN_BYTES;
        }
        Ok(written as f64 / began.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_in_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let mut scratch = Scratch {
            file: nameless(dir.path()).unwrap(),
            dir: dir.path().to_owned(),
            end: 0,
            reserved: 0,
            limit: RESERVED_BYTES,
        };
        for _ in 0..3 {
            scratch.append(&vec![1; RESERVED_BYTES as usize / 2]).unwrap();
        }
        assert!(scratch.file.metadata().unwrap().len() <= RESERVED_BYTES, "it begins from the front again");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
