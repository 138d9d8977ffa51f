//! The topics that exist: by name, by id, and their partitions.
//!
//! This is the live side of the catalog: the catalog says which topics there are, this module holds their logs.

pub mod durable;
pub mod fault;
pub mod partition;
pub mod turn;
pub mod wait;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::RwLock;
use quipu_protocol::primitives::Uuid;
use quipu_storage::disk::Disk;
use quipu_storage::{LogConfig, Millis, OpenSegments};

use crate::config::{Durability, TimestampType, TopicConfig};
use crate::coordinator::doors::TopicLookup;
use durable::{Flushers, Mode, Rules};
use fault::{Fault, Faults};
pub use partition::{AppendFailure, LEADER_EPOCH, Partition};
pub use turn::Turn;

/// Kafka's internal topics; clients see them but do not fill or delete them.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Where transaction coordinators keep their state.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// Longest topic name (Kafka: `Topic.MAX_NAME_LENGTH`).
const NAME_BYTES_MAX: usize = 249;
/// Logs that are opened or closed at the same time.
const DISK_THREADS: usize = 32;

/// One topic.
#[derive(Debug)]
pub struct Topic {
    name: Arc<str>,
    id: Uuid,
    config: RwLock<Arc<TopicConfig>>,
    partitions: RwLock<Arc<[Arc<Partition>]>>,
}

impl Topic {
    /// Ends the logs of a topic that is taken out. Waits for what they have under way.
    pub fn end(&self) {
        self.partitions().iter().for_each(|partition| partition.delete());
    }

    /// The topic's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The topic's id, which no other topic ever has.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// True for topics of the broker's own.
    pub fn is_internal(&self) -> bool {
        is_internal(&self.name)
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.config.read())
    }

    /// Whether somebody has used the partition since the start; true for one that does not exist.
    pub fn is_open(&self, index: i32) -> bool {
        let partitions = self.partitions.read();
        let partition = usize::try_from(index).ok().and_then(|index| partitions.get(index));
        partition.is_none_or(|partition| partition.is_open())
    }

    /// All partitions in order of their index.
    pub fn partitions(&self) -> Arc<[Arc<Partition>]> {
        Arc::clone(&self.partitions.read())
    }

    /// One partition.
    pub fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        self.partitions.read().get(usize::try_from(index).ok()?).cloned()
    }
}

/// True for topics of the broker's own (`Topic.isInternal`).
pub fn is_internal(name: &str) -> bool {
    matches!(name, OFFSETS_TOPIC | TRANSACTIONS_TOPIC | "__share_group_state")
}

/// Checks a new topic's name against Kafka's rules; the error says which one it breaks.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("the empty string is not a topic name".into())
    } else if name == "." || name == ".." {
        Err(format!("'{name}' is not a topic name"))
    } else if name.len() > NAME_BYTES_MAX {
        Err(format!("a topic name has at most {NAME_BYTES_MAX} characters, this one {}", name.len()))
    } else if let Some(bad) =
        name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        Err(format!(
            "topic name {name:?} has the character {bad:?}; allowed are ASCII letters, digits, '.', '_' and '-'"
        ))
    } else {
        Ok(())
    }
}

/// A name as it appears where only one of dot and underscore is allowed.
fn folded(name: &str) -> String {
    name.replace('.', "_")
}

/// Every topic.
#[derive(Debug)]
pub struct Topics {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    flushers: Flushers,
    /// The segments of all logs that are open.
    pub open_segments: OpenSegments,
    /// What went wrong with any log.
    pub faults: Arc<Faults>,
    maps: RwLock<Maps>,
    /// Counts the changes to which topics and partitions there are.
    version: AtomicI64,
}

#[derive(Debug, Default)]
struct Maps {
    by_name: HashMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
    /// Names by their [`folded`] form.
    by_folded: HashMap<String, Arc<str>>,
    partitions: usize,
}

impl Topics {
    /// No topics yet; their partitions will live below `root`, with so many segments open at most. 0 goes by what the
    /// process may open.
    pub fn new(disk: Arc<dyn Disk>, root: PathBuf, open_segments_max: usize) -> Self {
        Self {
            disk,
            root,
            flushers: Flushers::default(),
            open_segments: OpenSegments::limited(match open_segments_max {
                0 => quarter_of_files(),
                max => max,
            }),
            faults: Arc::default(),
            maps: RwLock::default(),
            version: AtomicI64::new(0),
        }
    }

    /// The disk that everything is kept on.
    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Finds a topic by name.
    pub fn by_name(&self, name: &str) -> Option<Arc<Topic>> {
        self.maps.read().by_name.get(name).cloned()
    }

    /// Finds a topic by id.
    pub fn by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.maps.read().by_id.get(&id).cloned()
    }

    /// All topics in order of their names.
    pub fn all(&self) -> Vec<Arc<Topic>> {
        let mut all: Vec<_> = self.maps.read().by_name.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The topic whose name becomes the same as `name` where dots become underscores, as in the names of metrics
    /// (`Topic.hasCollision`).
    pub fn colliding(&self, name: &str) -> Option<Arc<str>> {
        self.maps.read().by_folded.get(&folded(name)).filter(|other| ***other != *name).cloned()
    }

    /// How many partitions all topics have together.
    pub fn partition_count(&self) -> usize {
        self.maps.read().partitions
    }

    /// How many topics there are.
    pub fn count(&self) -> usize {
        self.maps.read().by_name.len()
    }

    /// Makes a new topic's directory, durably: an acknowledged record must not vanish with the directory above its own.
    pub fn prepare(&self, id: Uuid) -> std::io::Result<()> {
        self.disk.create_dir_all(&self.topic_dir(id))?;
        self.disk.sync_dir(&self.root)
    }

    /// Adds a topic that the catalog has recorded.
    pub fn insert(&self, name: &str, id: Uuid, partitions: i32, config: TopicConfig) -> Arc<Topic> {
        let name: Arc<str> = name.into();
        let list = (0..partitions).map(|index| self.new_partition(id, &name, index, &config)).collect();
        let topic = Arc::new(Topic {
            name: Arc::clone(&name),
            id,
            config: RwLock::new(Arc::new(config)),
            partitions: RwLock::new(list),
        });
        let mut maps = self.maps.write();
        maps.by_folded.insert(folded(&name), Arc::clone(&name));
        maps.partitions += topic.partitions().len();
        maps.by_name.insert(name, Arc::clone(&topic));
        maps.by_id.insert(id, Arc::clone(&topic));
        self.version.fetch_add(1, Ordering::Release);
        topic
    }

    /// Grows a topic to `count` partitions.
    pub fn grow(&self, topic: &Topic, count: i32) {
        let config = topic.config();
        let mut partitions = topic.partitions.write();
        let more = (partitions.len() as i32..count)
            .map(|index| self.new_partition(topic.id, &topic.name, index, &config));
        let before = partitions.len();
        *partitions = partitions.iter().cloned().chain(more).collect();
        let added = partitions.len() - before;
        drop(partitions);
        self.maps.write().partitions += added;
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Puts changed settings in force.
    pub fn reconfigure(&self, topic: &Topic, config: TopicConfig) {
        for partition in topic.partitions().iter() {
            partition.set_config(self.log_settings(&topic.name, &config));
        }
        *topic.config.write() = Arc::new(config);
    }

    /// Takes out a topic that the catalog has recorded as deleted: from here on nobody finds it. Its logs are for
    /// [`Topic::end`], its files for [`Self::remove_files`].
    pub fn remove(&self, name: &str) -> Option<Arc<Topic>> {
        let mut maps = self.maps.write();
        let topic = maps.by_name.remove(name)?;
        maps.by_id.remove(&topic.id);
        maps.by_folded.remove(&folded(name));
        maps.partitions -= topic.partitions().len();
        self.version.fetch_add(1, Ordering::Release);
        Some(topic)
    }

    /// Removes the files of a topic that no longer exists.
    pub fn remove_files(&self, id: Uuid) {
        let dir = self.topic_dir(id);
        // A topic that was never written has no files.
        if let Err(error) = self.disk.remove_dir_all(&dir)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %dir.display(), "cannot remove a deleted topic's files: {error}");
        }
    }

    /// Closes every log cleanly. Side by side, because the file system's journal does syncs that wait together in one
    /// go: a hundred logs, one after the other, would take seconds.
    pub fn close(&self) {
        let open: Vec<_> = self.all().iter().flat_map(|topic| topic.partitions().to_vec()).collect();
        side_by_side(&open, |partition| partition.close());
    }

    /// Opens every log that has files and looks after what a crash left, side by side for the same reason as in
    /// [`Self::close`]. What cannot be opened is told when it is asked for.
    pub fn recover(&self, now: Millis) {
        let topics = self.all();
        let has_files = |topic: &&Arc<Topic>| {
            self.disk.list(&self.topic_dir(topic.id)).is_ok_and(|entries| !entries.is_empty())
        };
        let partitions = topics.iter().filter(has_files).flat_map(|topic| topic.partitions().to_vec());
        let partitions: Vec<_> = partitions.filter(|one| self.disk.list(one.dir()).is_ok()).collect();
        side_by_side(&partitions, |partition| {
            let _ = partition.reader(now);
        });
    }

    /// Has many partitions synced by one call for the whole file system, which should hold nothing else.
    ///
    /// # Errors
    /// The system cannot do it, or would not tell of errors.
    pub fn sync_together(&self) -> std::io::Result<()> {
        let whole = self.disk.file_system(&self.root)?;
        if !whole.is_own() {
            tracing::warn!(
                dir = %self.root.display(),
                "quipu.sync.method is syncfs, and the file system holds more than this directory: acknowledgements \
                 will wait for what others write"
            );
        }
        self.flushers.sync_together(whole);
        Ok(())
    }

    /// The directory of a topic. Named by id, so that a topic of the same name made later never meets old files.
    pub fn topic_dir(&self, id: Uuid) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Whether records are refused because the disk is full.
    pub fn is_disk_full(&self) -> bool {
        self.disk.is_full()
    }

    /// Has the disk take back the room that it keeps for when it is full.
    pub fn regain_room(&self) {
        self.disk.regain();
    }

    /// The partitions that take no records, with the reason, in order of their names.
    pub fn faulty(&self) -> Vec<(Arc<str>, i32, Fault)> {
        if self.faults.failed.get() + self.faults.damaged.get() == 0 {
            return Vec::new();
        }
        let all = self.all();
        let found = all.iter().flat_map(|topic| {
            let faulty = |partition: &Arc<Partition>| {
                Some((Arc::clone(topic.name()), partition.index(), partition.fault()?))
            };
            topic.partitions().iter().filter_map(faulty).collect::<Vec<_>>()
        });
        found.collect()
    }

    /// Where all topics are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What a topic's settings mean for its logs. What lives in memory is as durable as it will ever be; what the broker
    /// itself must not lose is always synced.
    fn log_settings(&self, topic: &str, config: &TopicConfig) -> (LogConfig, Rules) {
        let (mode, ms) = match config.durability {
            _ if self.disk.is_volatile() => (Mode::Os, 0),
            _ if is_internal(topic) => (Mode::Sync, 0),
            Durability::Sync => (Mode::Sync, 0),
            Durability::Interval { ms } => (Mode::Interval, ms),
            Durability::Os => (Mode::Os, 0),
        };
        let records = if self.disk.is_volatile() { i64::MAX } else { config.flush_messages };
        let interval = Duration::from_millis(ms.max(1) as u64);
        let log = LogConfig {
            is_urgent: is_internal(topic),
            open_segments: self.open_segments.clone(),
            ..log_config(config)
        };
        (log, Rules { mode, interval, records })
    }

    fn new_partition(&self, id: Uuid, topic: &str, index: i32, config: &TopicConfig) -> Arc<Partition> {
        let dir = self.topic_dir(id).join(index.to_string());
        let settings = self.log_settings(topic, config);
        let name = format!("{topic}-{index}").into();
        let (disk, faults) = (Arc::clone(&self.disk), Arc::clone(&self.faults));
        Arc::new(Partition::new((index, name), dir, disk, self.flushers.clone(), faults, settings))
    }
}

impl TopicLookup for Topics {
    fn partitions(&self, name: &str) -> Option<i32> {
        self.by_name(name).map(|topic| topic.partitions().len() as i32)
    }

    fn name_of(&self, id: Uuid) -> Option<Arc<str>> {
        self.by_id(id).map(|topic| Arc::clone(topic.name()))
    }

    fn id_of(&self, name: &str) -> Option<Uuid> {
        self.by_name(name).map(|topic| topic.id())
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.maps.read().by_name.keys().cloned().collect()
    }

    fn version(&self) -> i64 {
        self.version.load(Ordering::Acquire)
    }
}

/// Segments that are open at once, unless the process may not have as many files: each is mapped, and the system allows
/// 65,530 maps.
const OPEN_SEGMENTS_MAX: usize = 16_384;

/// Half of the files that the process may open; connections need some, too.
fn quarter_of_files() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    files.and_then(|files| usize::try_from(files / 2).ok()).map_or(OPEN_SEGMENTS_MAX, |half| {
        // A segment has a descriptor, and another for its map on a file system that has become read-only.
        (half / 2).clamp(16, OPEN_SEGMENTS_MAX)
    })
}

/// Does something that waits for the disk with each of many partitions.
fn side_by_side(partitions: &[Arc<Partition>], work: impl Fn(&Partition) + Sync) {
    let next = AtomicUsize::new(0);
    let work_on_rest = || {
        while let Some(partition) = partitions.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(partition);
        }
    };
    thread::scope(|scope| {
        for _ in 1..partitions.len().min(DISK_THREADS) {
            // Without a further thread the others, and this one, do its share.
            let _ = thread::Builder::new().spawn_scoped(scope, work_on_rest);
        }
        work_on_rest();
    });
}

/// What a topic's settings mean for its logs.
fn log_config(config: &TopicConfig) -> LogConfig {
    LogConfig {
        segment_bytes: config.segment_bytes.max(0) as u64,
        // What may wait only so long for compaction must not stay in the active segment for longer.
        segment_ms: match config.cleanup.compact {
            true => config.segment_ms.min(config.max_compaction_lag_ms),
            false => config.segment_ms,
        },
        index_interval_bytes: config.index_interval_bytes.max(0) as u64,
        timestamp_type: match config.timestamp_type {
            TimestampType::CreateTime => quipu_storage::TimestampType::CreateTime,
            TimestampType::LogAppendTime => quipu_storage::TimestampType::LogAppendTime,
        },
        leader_epoch: LEADER_EPOCH,
        ..LogConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        for good in ["a", "market-intel.v1_x", "__schemas", &"x".repeat(249)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a b", "ü", "a/b", "a\0", &"x".repeat(250)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
