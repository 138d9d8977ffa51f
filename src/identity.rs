//! Who this broker is: cluster id and node id, kept in `meta.properties` as Kafka keeps them.

use std::io;
use std::path::Path;

use quipu_storage::disk::{Disk, Entry, ReserveDisk, read_file, replace_file};

use crate::clock::Clock;
use crate::config::Settings;
use crate::error::StartError;

const FILE: &str = "meta.properties";

/// The identity of a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id: 22 characters of base64, as clients show it.
    pub cluster_id: String,
    /// The node's id.
    pub node_id: i32,
}

impl Identity {
    /// Reads the identity of `data_dir`, or gives a new directory one. A directory that belongs to another node or
    /// cluster than the configuration says is refused.
    pub fn load_or_create(
        disk: &dyn Disk,
        data_dir: &Path,
        settings: &Settings,
        clock: &Clock,
    ) -> Result<Self, StartError> {
        let path = data_dir.join(FILE);
        let wanted_cluster = settings.cluster_id.clone();
        match read_file(disk, &path) {
            Ok(bytes) => {
                let found =
                    Self::parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| StartError::Foreign {
                        path: path.clone(),
                        reason: "it names no node.id and cluster.id".into(),
                    })?;
                if found.node_id != settings.node_id {
                    return Err(StartError::Foreign {
                        path,
                        reason: format!(
                            "it belongs to node {}, and node.id is {}; use another data directory or set node.id={0}",
                            found.node_id, settings.node_id
                        ),
                    });
                }
                if let Some(wanted) = wanted_cluster.filter(|wanted| *wanted != found.cluster_id) {
                    return Err(StartError::Foreign {
                        path,
                        reason: format!(
                            "it belongs to cluster {}, and cluster.id is {wanted}; use another data directory",
                            found.cluster_id
                        ),
                    });
                }
                Ok(found)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = Self {
                    cluster_id: wanted_cluster.unwrap_or_else(|| clock.random_uuid().to_string()),
                    node_id: settings.node_id,
                };
                replace_file(disk, &path, made.to_text().as_bytes()).map_err(|e| StartError::io(&path, e))?;
                Ok(made)
            }
            Err(error) => Err(StartError::io(&path, error)),
        }
    }

    /// Reads the identity of `data_dir`, which must have one.
    ///
    /// # Errors
    /// [`StartError::Foreign`] when it is not a data directory of ours, or an I/O error.
    pub fn read(disk: &dyn Disk, data_dir: &Path) -> Result<Self, StartError> {
        let path = data_dir.join(FILE);
        let foreign =
            |reason: &str| StartError::Foreign { path: data_dir.to_owned(), reason: reason.to_owned() };
        match read_file(disk, &path) {
            Ok(bytes) => Self::parse(&String::from_utf8_lossy(&bytes))
                .ok_or_else(|| foreign("its meta.properties names no node.id and cluster.id")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(foreign("it holds no meta.properties, so it is not a Quipu data directory"))
            }
            Err(error) => Err(StartError::io(&path, error)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='))
                .map(str::trim)
        };
        Some(Self { cluster_id: value("cluster.id")?.to_owned(), node_id: value("node.id")?.parse().ok()? })
    }

    fn to_text(&self) -> String {
        format!("version=1\nquipu.format=1\ncluster.id={}\nnode.id={}\n", self.cluster_id, self.node_id)
    }
}

/// Refuses a directory that holds files but no identity: it is somebody else's.
///
/// # Errors
/// [`StartError::Foreign`] with the name of a file that is not ours, or an I/O error.
pub fn refuse_strangers(disk: &dyn Disk, data_dir: &Path) -> Result<(), StartError> {
    let entries = match disk.list(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StartError::io(data_dir, error)),
    };
    let has_identity = entries.iter().any(|entry| entry.name == FILE);
    match entries.iter().find(|entry| !is_ours(entry)) {
        Some(Entry { name, .. }) if !has_identity => Err(StartError::Foreign {
            path: data_dir.to_owned(),
            reason: format!(
                "it holds {name:?} and no {FILE}, so it is not a Quipu data directory; choose an empty one with --data-dir"
            ),
        }),
        _ => Ok(()),
    }
}

/// What a start that was cut short may have left in a directory of ours.
fn is_ours(Entry { name, .. }: &Entry) -> bool {
    name == ".lock" || name == "lost+found" || ReserveDisk::is_reserve(name) || name.starts_with(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let identity = Identity { cluster_id: "5L6g3nShT-eMCtK--X86sw".into(), node_id: 3 };
        assert_eq!(Identity::parse(&identity.to_text()), Some(identity));
        assert_eq!(Identity::parse("version=1\nnode.id = 1\n"), None);
    }
}
