//! Where it is noted which members of groups have been silent, for the next start: `silent-members.json` in the data
//! directory.
//!
//! ```text
//! [["group","member",4500], …]        silent for 4.5 s while the broker was there
//! ```
//!
//! The file is written only in the seconds after a start in which members of before it have not been heard of. It is a
//! hint (see [`crate::coordinator::Silence`]): without it, or when it cannot be read, sessions start afresh.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use quipu_storage::Millis;
use quipu_storage::disk::{read_file, replace_file};

use crate::broker::Broker;
use crate::coordinator::{Now, Silence};

const FILE: &str = "silent-members.json";
/// How often it is written; so much of a member's silence may be forgotten with a kill.
const INTERVAL_MS: Millis = 500;
/// Larger than any file of ours: many groups with many members each, all of them silent.
const BYTES_MAX: usize = 64 << 20;

fn path(broker: &Broker) -> PathBuf {
    broker.data_dir().join(FILE)
}

/// What the broker's last life has noted.
pub fn load(broker: &Broker) -> Vec<Silence> {
    let path = path(broker);
    let bytes = match read_file(broker.topics.disk(), &path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!("{} is passed over: {error}", path.display());
            return Vec::new();
        }
    };
    serde_json::from_slice::<Vec<(String, String, Millis)>>(&bytes)
        .map(|entries| {
            let of = |(group_id, member_id, silent_ms): (String, String, Millis)| Silence {
                group_id: group_id.into(),
                member_id: member_id.into(),
                silent_ms: silent_ms.max(0),
            };
            entries.into_iter().map(of).collect()
        })
        .unwrap_or_else(|error| {
            tracing::warn!("{} is passed over: {error}", path.display());
            Vec::new()
        })
}

/// Keeps the notes up to date until there is nothing left to note.
pub async fn run(broker: &Arc<Broker>) {
    let mut noted = load(broker);
    loop {
        broker.clock.sleep_until(broker.clock.monotonic_ms() + INTERVAL_MS).await;
        let now = Now { tick: broker.clock.monotonic_ms(), wall: broker.clock.now_ms() };
        let silences = broker.groups.silences(now);
        let is_over = silences.is_none();
        let silences = silences.unwrap_or_default();
        if silences != noted {
            let on_disk = Arc::clone(broker);
            let written = silences.clone();
            let done = tokio::task::spawn_blocking(move || store(&on_disk, &written)).await;
            if let Ok(Err(error)) | Err(error) = done.map_err(io::Error::other) {
                tracing::warn!("{} cannot be written: {error}", path(broker).display());
            }
            noted = silences;
        }
        if is_over {
            return;
        }
    }
}

fn store(broker: &Broker, silences: &[Silence]) -> io::Result<()> {
    let path = path(broker);
    if silences.is_empty() {
        return broker.topics.disk().remove_file(&path);
    }
    let entries: Vec<_> = silences.iter().map(|it| (&*it.group_id, &*it.member_id, it.silent_ms)).collect();
    let bytes = serde_json::to_vec(&entries).map_err(io::Error::other)?;
    if bytes.len() > BYTES_MAX {
        return broker.topics.disk().remove_file(&path);
    }
    replace_file(broker.topics.disk(), &path, &bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use quipu_storage::disk::{Disk, MemoryDisk};

    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;

    #[test]
    fn notes_come_back_and_damaged_ones_are_passed_over() {
        let disk = Arc::new(MemoryDisk::new());
        disk.create_dir_all(Path::new("/data")).unwrap();
        let clock = Clock::manual(0, 1);
        let broker =
            Broker::open(Config::default(), Arc::clone(&disk) as _, Path::new("/data"), clock).unwrap();
        assert_eq!(load(&broker), []);
        let silences = [Silence { group_id: "g\"\n".into(), member_id: "m".into(), silent_ms: 4_500 }];
        store(&broker, &silences).unwrap();
        assert_eq!(load(&broker), silences);
        for bad in ["", "[[1]]", "[[\"g\",\"m\",-5", "{}"] {
            replace_file(&*disk, &path(&broker), bad.as_bytes()).unwrap();
            assert_eq!(load(&broker), [], "{bad}");
        }
        store(&broker, &[]).unwrap();
        assert_eq!(load(&broker), []);
    }
}
