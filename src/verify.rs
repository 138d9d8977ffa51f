//! Looks at a data directory that no broker has open: every log with all of its bytes, the catalog's events, the
//! identity. Nothing is changed, unless the operator gives up what is lost.

use std::path::{Path, PathBuf};

use quipu_protocol::record::Records;
use quipu_storage::OpenError;
use quipu_storage::disk::{Disk, Entry};
use quipu_storage::verify::{Report, is_absent, verify};

use crate::catalog::{Event, State};
use crate::error::StartError;
use crate::identity::Identity;

/// What the catalog's log is called among the partitions.
pub const CATALOG: &str = "catalog";

/// A log of the data directory.
#[derive(Clone, Debug)]
pub struct LogPlace {
    /// `<topic>-<partition>`, or [`CATALOG`].
    pub name: String,
    /// Where its files are.
    pub dir: PathBuf,
}

impl LogPlace {
    /// Checks it. `None` when it has no files, because nobody has used it yet.
    ///
    /// # Errors
    /// A file that cannot be opened, for another reason than damage.
    pub fn verify(&self, disk: &dyn Disk) -> Result<Option<Report>, OpenError> {
        match verify(disk, &self.dir, |_| {}) {
            Err(error) if is_absent(&error) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Bytes of its files.
    pub fn size_bytes(&self, disk: &dyn Disk) -> u64 {
        disk.list(&self.dir).unwrap_or_default().iter().map(|entry| entry.size_bytes).sum()
    }
}

/// What there is in a data directory.
#[derive(Debug)]
pub struct DataDir {
    /// The catalog, already checked.
    pub catalog: (LogPlace, Option<Report>),
    /// The partitions of all topics, in order of their names.
    pub partitions: Vec<LogPlace>,
    /// What is wrong beside the logs.
    pub notes: Vec<String>,
}

impl DataDir {
    /// Reads the identity and the catalog of `data_dir`.
    ///
    /// # Errors
    /// It is not a data directory, or the catalog's files cannot be read at all.
    pub fn read(disk: &dyn Disk, data_dir: &Path) -> Result<Self, StartError> {
        Identity::read(disk, data_dir)?;
        let catalog = LogPlace { name: CATALOG.to_owned(), dir: data_dir.join(CATALOG) };
        let (mut state, mut notes) = (State::default(), Vec::new());
        let report = verify(disk, &catalog.dir, |batch| {
            for record in Records::new(batch.payload(), batch.header().records_count) {
                let event = record.map_err(|error| error.to_string()).and_then(|record| {
                    serde_json::from_slice::<Event>(record.value.unwrap_or_default())
                        .map_err(|error| error.to_string())
                });
                match event {
                    Ok(event) => state.apply(event),
                    Err(why) => notes.push(format!(
                        "the catalog's record at offset {} cannot be read: {why}",
                        batch.header().base_offset
                    )),
                }
            }
        });
        let report = match report {
            Err(error) if is_absent(&error) => None,
            other => Some(other.map_err(|error| StartError::Damaged {
                path: catalog.dir.clone(),
                reason: error.to_string(),
            })?),
        };
        let root = data_dir.join("topics");
        let places = |(name, entry): (&String, &crate::catalog::TopicEntry)| {
            let (name, dir) = (name.clone(), root.join(entry.id.to_string()));
            (0..entry.partitions).map(move |index| LogPlace {
                name: format!("{name}-{index}"),
                dir: dir.join(index.to_string()),
            })
        };
        let partitions = state.topics.iter().flat_map(places).collect();
        let known: Vec<String> = state.topics.values().map(|entry| entry.id.to_string()).collect();
        for Entry { name, .. } in disk.list(&root).unwrap_or_default() {
            if name.parse::<quipu_protocol::primitives::Uuid>().is_ok() && !known.contains(&name) {
                notes.push(format!(
                    "{} belongs to no topic, the next start removes it",
                    root.join(&name).display()
                ));
            }
        }
        Ok(Self { catalog: (catalog, report), partitions, notes })
    }
}
