//! Quipu's own keys.

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast, OneOf};
use crate::config::value::ValueType::{Boolean, Int, Long, String};

/// The rows: a line for the key, a line for its documentation.
#[rustfmt::skip]
pub(super) const KEYS: &[ConfigKey] = &[
    key("cluster.id", String, None, Any).acts()
        .doc("Identity of the cluster that clients see, 22 characters of base64url as Kafka makes them. Drawn at the first start and kept in the data directory when not given."),
    key("quipu.durability", String, Some("sync"), OneOf(&["sync", "interval", "os"])).cluster_wide().acts()
        .doc("When an acks=all answer may leave: after the data was synced to the disk (sync), at once with a sync every quipu.durability.interval.ms (interval), or at once with syncing left to the operating system (os). A topic can set its own."),
    key("quipu.durability.interval.ms", Long, Some("1000"), AtLeast(1)).cluster_wide().acts()
        .doc("Time between syncs of a log whose durability is interval, in milliseconds. A topic's flush.ms goes before it."),
    key("quipu.request.metrics", Boolean, Some("false"), Any).cluster_wide().acts()
        .doc("Whether the broker measures, for each kind of request, how many there were, where their time went and what processor time they took. SIGUSR1 writes the figures to standard error, and so does a clean stop."),
    key("quipu.open.segments.max", Int, Some("0"), AtLeast(0)).acts()
        .doc("How many segments may be open at once, each with a file and a map; those that were not used for longest are closed. 0 is a quarter of the files that the process may open, and 16384 at most."),
    key("quipu.scrub.bytes.per.second", Long, Some("4194304"), AtLeast(0)).cluster_wide().acts()
        .doc("How much of what was written long ago is read and compared with its checksums in a second, to find what a disk has lost before somebody needs it; 0 is nothing. A partition with damage becomes read-only."),
    key("quipu.sync.method", String, Some("fdatasync"), OneOf(&["fdatasync", "syncfs"])).acts()
        .doc("How many partitions that wait for the disk together are synced: each file by itself (fdatasync), or the whole file system at once (syncfs), which is only sensible if the data directory has a file system of its own. Needs Linux 5.8."),
    key("quipu.replication.factor", String, Some("reject"), OneOf(&["reject", "clamp"])).cluster_wide().acts()
        .doc("What CreateTopics does when asked for more replicas than the one broker there is: refuse as Kafka does (reject), or create the topic with one replica (clamp)."),
];
