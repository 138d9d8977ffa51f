//! Logs that nobody has used yet: opening one makes and reads files, which no network thread waits for.

use std::collections::HashMap;
use std::sync::Arc;

use quipu_protocol::ErrorCode;
use quipu_storage::Millis;

use super::Context;
use crate::topic::Partition;

/// The partitions of a request whose logs could not be opened, and why. Nobody tries that again for the same request.
#[derive(Debug, Default)]
pub(super) struct Unopened(Option<Box<Failed>>);

/// By their [`place`].
type Failed = HashMap<usize, (Arc<Partition>, ErrorCode)>;

impl Unopened {
    /// Goes on only if this one is not among them.
    pub(super) fn check(&self, partition: &Arc<Partition>) -> Result<(), ErrorCode> {
        let failed = self.0.as_ref().and_then(|failed| failed.get(&place(partition)));
        failed.map_or(Ok(()), |(_, code)| Err(*code))
    }
}

/// Where it is in memory: by its name it could be another one meanwhile.
fn place(partition: &Arc<Partition>) -> usize {
    Arc::as_ptr(partition).addr()
}

impl Context<'_> {
    /// Has those logs opened that are not, all of them by one thread that may wait.
    pub(super) async fn open_logs(
        &self,
        partitions: impl Iterator<Item = Arc<Partition>>,
        now: Millis,
    ) -> Unopened {
        let closed: HashMap<_, _> =
            partitions.filter(|it| !it.is_open()).map(|partition| (place(&partition), partition)).collect();
        if closed.is_empty() {
            return Unopened::default();
        }
        let (asked, opening) = (closed.clone(), closed);
        let opened = self.broker.aside(move |_| {
            let open = |(place, partition): (usize, Arc<Partition>)| {
                let code = partition.reader(now).err()?;
                Some((place, (partition, code)))
            };
            Ok(opening.into_iter().filter_map(open).collect::<Failed>())
        });
        let failed = opened.await.unwrap_or_else(|refused| {
            asked.into_iter().map(|(place, partition)| (place, (partition, refused.code))).collect()
        });
        Unopened(Some(failed).filter(|failed| !failed.is_empty()).map(Box::new))
    }
}
