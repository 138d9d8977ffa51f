//! A disk that is full: records are refused, everything else goes on, and so do records once there is room. On a disk
//! that pretends, and on a real one that is small.

mod support;

use std::path::Path;
use std::sync::Arc;

use quipu_storage::disk::{DirectoryDisk, Disk, MemoryDisk, OpenMode, ReserveDisk};
use quipu_storage::{AppendError, LogConfig, open};
use support::*;

/// Appends until there is no room. Gives the error.
fn fill_up(appender: &mut quipu_storage::Appender) -> AppendError {
    let value = vec![b'x'; 8_000];
    for _ in 0..1_000_000 {
        let mut builder = quipu_protocol::record::BatchBuilder::new();
        builder.push(1_000, None, Some(&value), &[]);
        if let Err(error) = append(appender, &builder.finish()) {
            return error;
        }
    }
    panic!("the disk does not fill up");
}

/// The whole story, on `dir` of a disk with little room. `hog` takes the room away from outside, `free` gives it back.
fn story(disk: Arc<dyn Disk>, dir: &Path, volume_bytes: u64, free: impl FnOnce()) {
    disk.create_dir_all(dir).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(ReserveDisk::new(disk, dir, volume_bytes));
    disk.regain();
    assert!(!disk.is_full());
    let at = |name: &str| dir.join(name);
    let config = LogConfig { segment_bytes: 100_000, ..LogConfig::default() };
    let (mut other, _) = open(Arc::clone(&disk), &at("other"), config.clone(), 0).unwrap();
    append(&mut other, &sequenced(1, 0, 0, 3)).unwrap();
    let urgent = LogConfig { is_urgent: true, ..config.clone() };
    let (mut own, own_reader) = open(Arc::clone(&disk), &at("own"), urgent, 0).unwrap();
    append(&mut own, &batch(1, 0)).unwrap();
    let (mut appender, reader) = open(Arc::clone(&disk), &at("log"), config.clone(), 0).unwrap();

    assert!(matches!(fill_up(&mut appender), AppendError::Full(_)));
    assert!(disk.is_full());
    let end = reader.end_offset();
    // Sealing and flushing go on, and what is there can be read.
    appender.take_chores().into_iter().for_each(|chore| chore.run().unwrap());
    assert_eq!(appender.sync().unwrap(), end);
    assert_eq!(reader.read(0, 1, end, true).unwrap().next_offset, 1);
    // The broker's own log goes on for a while, in what is kept for it.
    let before = own_reader.end_offset();
    for _ in 0..40 {
        append(&mut own, &batch(100, 0)).unwrap();
    }
    own.sync().unwrap();
    assert_eq!(own_reader.end_offset(), before + 4_000);
    // That room is not there for records.
    assert!(matches!(fill_up(&mut appender), AppendError::Full(_)));
    assert!(reader.end_offset() <= end + 1, "records were written into the reserve");
    // A clean stop, of which the next start has to scan nothing; and a start although the disk is full.
    let end = reader.end_offset();
    other.close().unwrap();
    appender.close().unwrap();
    let (mut appender, reader) = open(Arc::clone(&disk), &at("log"), config, 0).unwrap();
    assert_eq!((reader.end_offset(), appender.recovery().scanned_bytes), (end, 0));
    assert!(matches!(fill_up(&mut appender), AppendError::Full(_)));
    // Deleting makes room, once the files are gone.
    assert_eq!(appender.delete_prefix(end / 2).unwrap(), end / 2);
    appender.take_chores().into_iter().for_each(|chore| chore.run().unwrap());
    append(&mut appender, &batch(1, 0)).unwrap();
    // Either somebody who grows finds out, or whoever looks after the disk.
    disk.regain();
    assert!(!disk.is_full());
    assert!(matches!(fill_up(&mut appender), AppendError::Full(_)));
    assert!(disk.is_full());
    // And so does somebody else.
    free();
    append(&mut appender, &batch(100, 0)).unwrap();
    assert!(!disk.is_full());
    own.close().unwrap();
    appender.close().unwrap();
}

#[test]
fn a_disk_that_pretends_to_be_full() {
    let disk = Arc::new(SmallDisk::new(4 << 20));
    let hog = disk.hog(1 << 20);
    story(Arc::clone(&disk) as Arc<dyn Disk>, Path::new("/data"), 4 << 20, move || drop(hog));
}

#[test]
fn a_small_file_system_that_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::new(dir.path(), 8 << 20) else {
        println!("not tried: this machine lets nobody mount a small file system");
        return;
    };
    let hog = dir.path().join("hog");
    let file = DirectoryDisk::new().open(&hog, OpenMode::OpenOrCreate).unwrap();
    file.reserve(0, 2 << 20).unwrap();
    drop(file);
    let data = dir.path().join("data");
    story(Arc::new(DirectoryDisk::new()), &data, 8 << 20, || std::fs::remove_file(hog).unwrap());
    drop(mounted);
}

#[test]
fn a_memory_disk_is_never_full() {
    assert!(!MemoryDisk::new().is_full());
}

/// A small file system in memory, until dropped.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(dir: &'a Path, bytes: u64) -> Option<Self> {
        let size = format!("size={bytes}");
        let done =
            std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir).output();
        done.is_ok_and(|done| done.status.success()).then_some(Self(dir))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}
