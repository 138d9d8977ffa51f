//! Devices whose every write and flush is recorded: files of a FUSE file system, each under a loop device with a real
//! file system on it. A request of the file system reaches the file as one write, a cache flush as one `fsync`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    WriteFlags,
};

use crate::image::{Image, Tape};

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Ext4, Self::Xfs];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// The program that makes one.
    pub fn maker(self) -> &'static str {
        match self {
            Self::Ext4 => "mkfs.ext4",
            Self::Xfs => "mkfs.xfs",
        }
    }

    /// Whether the file system on a device is in order, after it was mounted once. Says what is wrong.
    pub fn examine(self, rack: &mut Rack, image: Image) -> io::Result<()> {
        let image = rack.mount(self, image)?.unmount()?.now;
        let file = tempfile::NamedTempFile::new()?;
        image.save(file.path())?;
        let mut command = match self {
            Self::Ext4 => Command::new("e2fsck"),
            Self::Xfs => Command::new("xfs_repair"),
        };
        match self {
            Self::Ext4 => command.args(["-f", "-n"]),
            Self::Xfs => command.arg("-n"),
        };
        succeed(command.arg(file.path()))
    }

    /// An empty file system of this kind.
    pub fn make(self, dir: &Path) -> io::Result<Image> {
        let path = dir.join(format!("empty.{}", self.name()));
        // XFS takes nothing smaller.
        std::fs::File::create(&path)?.set_len(320 << 20)?;
        let mut command = Command::new(self.maker());
        match self {
            // What is left for later would be written by a kernel thread in the middle of a run.
            Self::Ext4 => {
                command.args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"])
            }
            Self::Xfs => command.args(["-q", "-f", "-K"]),
        };
        succeed(command.arg(&path))?;
        let image = Image::load(&path);
        std::fs::remove_file(&path)?;
        image
    }
}

/// Runs a command to its end; what it printed is the error.
fn succeed(command: &mut Command) -> io::Result<()> {
    let done = command.stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr).trim())))
}

/// Devices by number.
type Devices = Arc<Mutex<HashMap<u64, Arc<Mutex<Tape>>>>>;

/// A place for devices, one mounted at a time.
pub struct Rack {
    devices: Devices,
    /// Whether every write and flush fails.
    fails: Arc<AtomicBool>,
    next: u64,
    files: PathBuf,
    mount_point: PathBuf,
    session: Option<BackgroundSession>,
}

impl Rack {
    /// Works below `dir`, which is empty.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let (files, mount_point) = (dir.join("devices"), dir.join("mnt"));
        std::fs::create_dir_all(&files)?;
        std::fs::create_dir_all(&mount_point)?;
        let devices = Devices::default();
        let fails = Arc::<AtomicBool>::default();
        let served = Files { devices: Arc::clone(&devices), fails: Arc::clone(&fails) };
        let session = fuser::spawn_mount(served, &files, &fuser::Config::default())?;
        Ok(Self { devices, fails, next: 2, files, mount_point, session: Some(session) })
    }

    /// Mounts a device that holds `image`. The number is never used again, so that nothing of it is in any cache.
    pub fn mount(&mut self, kind: Kind, image: Image) -> io::Result<Device<'_>> {
        let number = self.next;
        self.next += 1;
        let tape = Arc::new(Mutex::new(Tape::new(image)));
        locked(&self.devices).insert(number, Arc::clone(&tape));
        let mut device = Device { rack: self, number, tape, is_mounted: false };
        let file = device.rack.files.join(number.to_string());
        let mut command = Command::new("mount");
        let options = match kind {
            Kind::Ext4 => "loop,nodiscard",
            Kind::Xfs => "loop,nodiscard,nouuid",
        };
        succeed(command.args(["-t", kind.name(), "-o", options]).arg(file).arg(&device.rack.mount_point))?;
        device.is_mounted = true;
        Ok(device)
    }
}

impl Drop for Rack {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.session.take().map(BackgroundSession::umount_and_join) {
            eprintln!("powercut: {} stays mounted: {error}", self.files.display());
        }
    }
}

/// A mounted device.
pub struct Device<'a> {
    rack: &'a mut Rack,
    number: u64,
    tape: Arc<Mutex<Tape>>,
    is_mounted: bool,
}

impl Device<'_> {
    /// Where its file system is.
    pub fn dir(&self) -> &Path {
        &self.rack.mount_point
    }

    /// How much has happened to it so far, to be asked from any thread.
    pub fn position(&self) -> impl Fn() -> usize + Send + Clone + use<> {
        let tape = Arc::clone(&self.tape);
        move || locked(&tape).events.len()
    }

    /// From here on, every write to it and every flush fails with EIO, or none does.
    pub fn set_failing(&self, fails: bool) {
        self.rack.fails.store(fails, Ordering::SeqCst);
    }

    /// Unmounts it in good order, which writes; gives all that happened to it.
    pub fn unmount(mut self) -> io::Result<Tape> {
        self.leave()?;
        let mut tape = locked(&self.tape);
        let empty = Tape::new(tape.start.clone());
        Ok(std::mem::replace(&mut *tape, empty))
    }

    fn leave(&mut self) -> io::Result<()> {
        if self.is_mounted {
            // Somebody else on the machine may be looking at the mount just now.
            let mut tries = 0;
            while let Err(error) = succeed(Command::new("umount").arg(&self.rack.mount_point)) {
                tries += 1;
                if tries == 50 {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            self.is_mounted = false;
        }
        locked(&self.rack.devices).remove(&self.number);
        Ok(())
    }
}

impl Drop for Device<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            eprintln!("powercut: {error}");
        }
    }
}

fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file system that holds the devices: one directory, each file named by its number.
struct Files {
    devices: Devices,
    fails: Arc<AtomicBool>,
}

/// How long the kernel may believe what it was told about a file. Nothing of it ever changes.
const TRUE_FOR: Duration = Duration::from_secs(3600);

impl Files {
    fn find(&self, number: u64) -> Option<Arc<Mutex<Tape>>> {
        locked(&self.devices).get(&number).cloned()
    }

    fn is_failing(&self) -> bool {
        self.fails.load(Ordering::SeqCst)
    }

    fn attributes(&self, number: u64) -> Option<FileAttr> {
        let (kind, size) = match number {
            1 => (FileType::Directory, 0),
            _ => (FileType::RegularFile, locked(&*self.find(number)?).now.size_bytes()),
        };
        Some(FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: 0o700,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

// The session has one thread, so requests are recorded in the order in which they are answered.
impl Filesystem for Files {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let number = name.to_str().and_then(|name| name.parse().ok()).filter(|number| *number > 1);
        match number.and_then(|number| self.attributes(number)) {
            Some(attributes) => reply.entry(&TRUE_FOR, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(number.0) {
            Some(attributes) => reply.attr(&TRUE_FOR, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        position: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.find(number.0) {
            Some(tape) => reply.data(&locked(&*tape).now.read(position, size as usize)),
            None => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        position: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.find(number.0) {
            Some(tape) if !self.is_failing() && locked(&*tape).write(position, bytes) => {
                reply.written(bytes.len() as u32);
            }
            _ => reply.error(Errno::EIO),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Somebody closed the file, which says nothing about durability.
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        match self.find(number.0) {
            Some(tape) if !self.is_failing() => {
                locked(&*tape).flush();
                reply.ok();
            }
            _ => reply.error(Errno::EIO),
        }
    }
}
