//! What the command line does when something fails half way: nothing is lost, and nothing looks better than it is.

use std::sync::atomic::{AtomicUsize, Ordering};

use quipu_protocol::ApiKey;

use crate::between::{Fate, dev_behind};
use crate::cli::done;

#[test]
fn halves_of_a_batch_that_is_too_large_survive_a_broken_connection() {
    // The whole batch, then its halves: each request in turn is lost, or its answer.
    for (nth, fate) in (1..5).flat_map(|nth| [(nth, Fate::Lost), (nth, Fate::AnswerLost)]) {
        let produced = AtomicUsize::new(0);
        let broker = dev_behind(move |_, api| match api {
            ApiKey::Produce if produced.fetch_add(1, Ordering::Relaxed) == nth => fate,
            _ => Fate::Answered,
        });
        done(&broker, &["topic", "create", "t", "-p", "1", "-c", "max.message.bytes=4000"]);
        let lines: String = (0..20).map(|n| format!("{n}{:500}\n", "")).collect();
        let sent = broker.run_with_input(&["produce", "t"], lines.as_bytes());
        assert!(sent.status.success(), "{nth} {fate:?}: {}", String::from_utf8_lossy(&sent.stderr));
        assert_eq!(done(&broker, &["consume", "t", "-e"]), lines, "{nth} {fate:?}");
    }
}
