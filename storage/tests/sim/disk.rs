//! A disk in memory that forgets what was not synced. Each file has a durable image and the writes since its last sync,
//! each directory durable names and the changes since; a crash keeps any part of what is pending. Calls fail on demand,
//! and a frozen disk does nothing any more, as if the power had gone. Everything follows from seeds.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use quipu_storage::disk::{DirLock, Disk, DiskFile, Entry, LockError, Map, MemoryDisk, OpenMode};

/// What a device writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Random numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A kind of call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Open,
    Write,
    Reserve,
    SetLen,
    Sync,
    SyncDir,
    Rename,
    Remove,
}

/// When the power goes.
#[derive(Clone, Copy, Debug)]
pub enum Freeze {
    /// At the n-th sync of a file or directory, which is done or not.
    Sync { nth: u64, done: bool },
    /// At the n-th call that changes anything.
    Call(u64),
}

#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Holds the current image of every file, by inode.
    inner: MemoryDisk,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    pending_names: Vec<NameChange>,
    rng: Rng,
    calls: u64,
    syncs: u64,
    freeze: Option<Freeze>,
    frozen: bool,
    fail: Option<(Call, u64)>,
    failed: u64,
    full: bool,
    /// A sector of a file that cannot be read.
    unreadable: Option<(usize, u64)>,
    trace: DefaultHasher,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Put(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, Node),
}

impl NameChange {
    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Put(path, _) | Self::Remove(path) | Self::Rename(_, path, _) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Put(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

#[derive(Debug)]
struct Inode {
    current: Arc<dyn DiskFile>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => image.resize(*len, 0),
            Self::Write(position, bytes) => {
                let end = position + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*position..end].copy_from_slice(bytes);
            }
        }
    }

    /// Keeps any of its sectors.
    fn apply_torn(&self, image: &mut Vec<u8>, rng: &mut Rng) {
        let Self::Write(position, bytes) = self else {
            if rng.one_in(2) {
                self.apply(image);
            }
            return;
        };
        let mut done = 0;
        while done < bytes.len() {
            let at = position + done;
            let size = (SECTOR_BYTES - at % SECTOR_BYTES).min(bytes.len() - done);
            if rng.one_in(2) {
                Self::Write(at, bytes[done..done + size].to_vec()).apply(image);
            }
            done += size;
        }
    }
}

/// How much of what was pending a crash keeps. Names change in the order of the calls, as in every file system with a
/// journal; sectors reach the disk in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Nothing,
    Everything,
    Some,
}

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Node::Dir)]);
        Self::with(seed, root, Vec::new())
    }

    fn with(seed: u64, names: BTreeMap<PathBuf, Node>, images: Vec<Vec<u8>>) -> Self {
        let inner = MemoryDisk::new();
        inner.create_dir_all(Path::new("/")).unwrap();
        let mut state = State {
            inner,
            inodes: Vec::new(),
            durable_names: names.clone(),
            names,
            pending_names: Vec::new(),
            rng: Rng(seed),
            calls: 0,
            syncs: 0,
            freeze: None,
            frozen: false,
            fail: None,
            failed: 0,
            full: false,
            unreadable: None,
            trace: DefaultHasher::new(),
        };
        for image in images {
            state.add_inode(image);
        }
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// What is found after the power came back. This disk is not changed, so it can crash in several ways.
    pub fn crash(&self, seed: u64) -> Self {
        let state = self.state.lock();
        let mut rng = Rng(seed);
        let keep =
            [Keep::Nothing, Keep::Everything, Keep::Some, Keep::Some, Keep::Some][rng.below(5) as usize];
        let mut names = state.durable_names.clone();
        let upto = match keep {
            Keep::Nothing => 0,
            Keep::Everything => state.pending_names.len(),
            Keep::Some => rng.below(state.pending_names.len() as u64 + 1) as usize,
        };
        for change in &state.pending_names[..upto] {
            change.apply(&mut names);
        }
        // What lies in a directory that is gone is gone.
        let kept: Vec<_> = names.keys().filter(|path| is_reachable(&names, path)).cloned().collect();
        names.retain(|path, _| kept.contains(path));
        let image = |inode: &Inode| {
            let mut image = inode.durable.clone();
            for change in inode.pending.iter().filter(|_| keep != Keep::Nothing) {
                if keep == Keep::Everything {
                    change.apply(&mut image);
                } else {
                    change.apply_torn(&mut image, &mut rng);
                }
            }
            image
        };
        let images = state.inodes.iter().map(image).collect();
        Self::with(seed, names, images)
    }

    pub fn freeze(&self, at: Freeze) {
        let mut state = self.state.lock();
        (state.calls, state.syncs, state.freeze) = (0, 0, Some(at));
    }

    pub fn is_frozen(&self) -> bool {
        self.state.lock().frozen
    }

    /// The n-th call of this kind from now on fails with EIO; the first is 1.
    pub fn fail(&self, call: Call, nth: u64) {
        self.state.lock().fail = Some((call, nth));
    }

    /// Calls that were made to fail so far. Nothing is to fail any more.
    pub fn take_failed(&self) -> u64 {
        let mut state = self.state.lock();
        state.fail = None;
        std::mem::take(&mut state.failed)
    }

    /// Whether nothing can be made any larger.
    pub fn set_full(&self, full: bool) {
        self.state.lock().full = full;
    }

    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// A hash of every call so far.
    pub fn trace(&self) -> u64 {
        self.state.lock().trace.finish()
    }

    /// The files and their sizes, in order.
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        let state = self.state.lock();
        let size = |node: &Node| match node {
            Node::File(inode) => Some(state.inodes[*inode].durable.len()),
            Node::Dir => None,
        };
        state.names.iter().filter_map(|(path, node)| Some((path.clone(), size(node)?))).collect()
    }

    /// Another disk with the same on it, all of it durable.
    pub fn copy(&self) -> Self {
        let state = self.state.lock();
        let image = |inode: &Inode| {
            let mut bytes = vec![0; inode.current.size_bytes().unwrap() as usize];
            inode.current.read_at(&mut bytes, 0).unwrap();
            bytes
        };
        let copy = Self::with(state.rng.0, state.names.clone(), state.inodes.iter().map(image).collect());
        copy.state.lock().unreadable = state.unreadable;
        copy
    }

    /// The files and their sizes as they are now, in order.
    pub fn current_files(&self) -> Vec<(PathBuf, usize)> {
        let state = self.state.lock();
        let size = |node: &Node| match node {
            Node::File(inode) => Some(state.inodes[*inode].current.size_bytes().unwrap() as usize),
            Node::Dir => None,
        };
        state.names.iter().filter_map(|(path, node)| Some((path.clone(), size(node)?))).collect()
    }

    fn inode(state: &State, path: &Path) -> usize {
        match state.names.get(path) {
            Some(Node::File(inode)) => *inode,
            _ => panic!("no file {}", path.display()),
        }
    }

    /// What lies in a file.
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.state.lock();
        state.inodes[Self::inode(&state, path)].durable.clone()
    }

    /// Has something else lie in a file.
    pub fn overwrite(&self, path: &Path, at: usize, bytes: &[u8]) {
        let mut state = self.state.lock();
        let at_inode = Self::inode(&state, path);
        let inode = &mut state.inodes[at_inode];
        inode.durable[at..at + bytes.len()].copy_from_slice(bytes);
        inode.current.write_at(&mut [IoSlice::new(bytes)], at as u64).unwrap();
    }

    /// Has a file lose its end.
    pub fn cut(&self, path: &Path, size: usize) {
        let mut state = self.state.lock();
        let at_inode = Self::inode(&state, path);
        let inode = &mut state.inodes[at_inode];
        inode.durable.truncate(size);
        inode.current.set_len(size as u64).unwrap();
    }

    /// Has a file vanish.
    pub fn vanish(&self, path: &Path) {
        let mut state = self.state.lock();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    /// From here on the byte at `at` of a file cannot be read.
    pub fn make_unreadable(&self, path: &Path, at: u64) {
        let mut state = self.state.lock();
        state.unreadable = Some((Self::inode(&state, path), at));
    }

    pub fn is_unreadable(&self) -> bool {
        self.state.lock().unreadable.is_some()
    }

    /// Turns one bit of what lies on the disk.
    pub fn flip(&self, path: &Path, bit: usize) {
        let mut state = self.state.lock();
        let Some(Node::File(inode)) = state.names.get(path).copied() else {
            panic!("no file {}", path.display())
        };
        let inode = &mut state.inodes[inode];
        inode.durable[bit / 8] ^= 1 << (bit % 8);
        inode
            .current
            .write_at(&mut [IoSlice::new(&inode.durable[bit / 8..=bit / 8])], (bit / 8) as u64)
            .unwrap();
    }
}

fn is_reachable(names: &BTreeMap<PathBuf, Node>, path: &Path) -> bool {
    path.ancestors().skip(1).all(|dir| names.get(dir) == Some(&Node::Dir))
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl State {
    fn add_inode(&mut self, image: Vec<u8>) -> usize {
        let path = PathBuf::from(format!("/{}", self.inodes.len()));
        let current = self.inner.open(&path, OpenMode::Truncate).unwrap();
        current.write_at(&mut [IoSlice::new(&image)], 0).unwrap();
        self.inodes.push(Inode { current, durable: image, pending: Vec::new() });
        self.inodes.len() - 1
    }

    /// Counts a call that changes something. True when it is to fail.
    fn enter(&mut self, call: Call, what: impl Hash) -> io::Result<bool> {
        if self.frozen {
            return Err(eio());
        }
        self.calls += 1;
        (call, what).hash(&mut self.trace);
        if matches!(self.freeze, Some(Freeze::Call(at)) if at == self.calls) {
            self.frozen = true;
            return Err(eio());
        }
        if let Some((which, left)) = &mut self.fail
            && *which == call
        {
            *left -= 1;
            if *left == 0 {
                self.fail = None;
                self.failed += 1;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the sync happens, and whether its caller learns of that.
    fn enter_sync(&mut self, call: Call, what: impl Hash) -> io::Result<(bool, bool)> {
        let fails = self.enter(call, what)?;
        self.syncs += 1;
        match self.freeze {
            Some(Freeze::Sync { nth, done }) if nth == self.syncs => {
                self.frozen = true;
                Ok((done, false))
            }
            _ => Ok((!fails, !fails)),
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let missing: Vec<_> = dir.ancestors().filter(|dir| !state.names.contains_key(*dir)).collect();
        for dir in missing.into_iter().rev() {
            state.enter(Call::Open, dir)?;
            state.change_name(NameChange::Put(dir.to_owned(), Node::Dir));
        }
        Ok(())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        let found = state.names.get(path).copied();
        let inode = match found {
            Some(Node::File(inode)) if mode != OpenMode::Truncate => inode,
            Some(Node::File(inode)) => {
                if state.enter(Call::Open, path)? {
                    return Err(eio());
                }
                state.inodes[inode].current.set_len(0)?;
                state.inodes[inode].pending.push(Change::SetLen(0));
                inode
            }
            _ if mode == OpenMode::Existing || !is_reachable(&state.names, path) => return Err(not_found()),
            _ => {
                if state.enter(Call::Open, path)? {
                    return Err(eio());
                }
                let inode = state.add_inode(Vec::new());
                state.change_name(NameChange::Put(path.to_owned(), Node::File(inode)));
                inode
            }
        };
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let node = state.names.get(from).copied().ok_or_else(not_found)?;
        if state.enter(Call::Rename, (from, to))? {
            return Err(eio());
        }
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned(), node));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if !state.names.contains_key(path) {
            return Err(not_found());
        }
        if state.enter(Call::Remove, path)? {
            return Err(eio());
        }
        state.change_name(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let below: Vec<_> = state.names.keys().filter(|path| path.starts_with(dir)).cloned().collect();
        for path in below.into_iter().rev() {
            state.enter(Call::Remove, &path)?;
            state.change_name(NameChange::Remove(path));
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let (happens, succeeds) = state.enter_sync(Call::SyncDir, dir)?;
        if happens {
            let (here, elsewhere): (Vec<_>, Vec<_>) =
                state.pending_names.drain(..).partition(|change| change.dir() == Some(dir));
            state.pending_names = elsewhere;
            here.iter().for_each(|change| change.apply(&mut state.durable_names));
        }
        if succeeds { Ok(()) } else { Err(eio()) }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state.lock();
        if state.names.get(dir) != Some(&Node::Dir) {
            return Err(not_found());
        }
        let mut entries = Vec::new();
        for (path, node) in state.names.iter().filter(|(path, _)| path.parent() == Some(dir)) {
            let size_bytes = match node {
                Node::Dir => 0,
                Node::File(inode) => state.inodes[*inode].current.size_bytes()?,
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            entries.push(Entry { name, size_bytes, is_dir: *node == Node::Dir });
        }
        Ok(entries)
    }

    fn lock(&self, _: &Path) -> Result<DirLock, LockError> {
        Ok(DirLock::new(()))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl SimFile {
    fn current(&self) -> Arc<dyn DiskFile> {
        Arc::clone(&self.disk.state.lock().inodes[self.inode].current)
    }
}

impl DiskFile for SimFile {
    fn size_bytes(&self) -> io::Result<u64> {
        self.current().size_bytes()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let unreadable = self.disk.state.lock().unreadable;
        if unreadable.is_some_and(|(inode, at)| {
            inode == self.inode && (position..position + buf.len() as u64).contains(&at)
        }) {
            return Err(eio());
        }
        self.current().read_at(buf, position)
    }

    fn write_at(&self, parts: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let fails = state.enter(Call::Write, (self.inode, position, bytes.len()))?;
        if state.full && position + bytes.len() as u64 > state.inodes[self.inode].current.size_bytes()? {
            return Err(full());
        }
        if fails {
            let short = state.rng.below(bytes.len().max(1) as u64) as usize;
            bytes.truncate(short);
        }
        let inode = &mut state.inodes[self.inode];
        inode.current.write_at(&mut [IoSlice::new(&bytes)], position)?;
        inode.pending.push(Change::Write(position as usize, bytes));
        if fails { Err(eio()) } else { Ok(()) }
    }

    fn reserve(&self, _: u64, to: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let fails = state.enter(Call::Reserve, (self.inode, to))?;
        let size = state.inodes[self.inode].current.size_bytes()?;
        if fails || state.full && to > size {
            return Err(full());
        }
        if to > size {
            let inode = &mut state.inodes[self.inode];
            inode.current.set_len(to)?;
            inode.pending.push(Change::SetLen(to as usize));
        }
        Ok(())
    }

    fn set_len(&self, size_bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        if state.enter(Call::SetLen, (self.inode, size_bytes))? {
            return Err(eio());
        }
        let inode = &mut state.inodes[self.inode];
        inode.current.set_len(size_bytes)?;
        inode.pending.push(Change::SetLen(size_bytes as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let (happens, succeeds) = state.enter_sync(Call::Sync, self.inode)?;
        let frozen = state.frozen;
        let state = &mut *state;
        let inode = &mut state.inodes[self.inode];
        if happens {
            inode.pending.drain(..).for_each(|change| change.apply(&mut inode.durable));
        } else if !frozen {
            // Pages that could not be written count as clean from here on: no later sync writes them.
            for change in inode.pending.drain(..) {
                change.apply_torn(&mut inode.durable, &mut state.rng);
            }
        }
        if succeeds { Ok(()) } else { Err(eio()) }
    }

    fn map(&self, size_bytes: u64) -> io::Result<Map> {
        self.current().map(size_bytes)
    }
}
