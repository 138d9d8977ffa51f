//! Consumer groups, request by request, against what Apache Kafka 4.3.1 answered to the same script.
//!
//! `tests/data/groups-kafka-4.3.1.txt` is the transcript of a real broker with `group.max.size=3` and
//! `group.initial.rebalance.delay.ms=0`. To make it anew:
//! `QUIPU_GROUPS_TARGET=HOST:PORT cargo test --test it groups -- --nocapture`, with that broker listening there.
//! Ids are replaced by names in the order in which they were given out, messages of errors by `…`.

mod script;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::process::Broker;

/// The answers in which we differ, by their first words, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("nobody kept describe", "a group that nothing was ever kept of is gone with its last pending member"),
    (
        "pending with instance join",
        "Kafka fails with an unknown server error where the id is simply another's",
    ),
];

#[test]
fn groups_are_answered_as_by_kafka() {
    if let Ok(target) = std::env::var("QUIPU_GROUPS_TARGET") {
        let unique = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        print!("{}", script::run(&target, &format!("-{unique}")));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::serve(dir.path(), &["--override", "group.max.size=3"]);
    let ours = script::run(&broker.address.to_string(), "");
    let kafkas = include_str!("../../data/groups-kafka-4.3.1.txt");
    assert_eq!(
        ours.lines().count(),
        kafkas.lines().count(),
        "run against Kafka anew after a change of the script"
    );
    let mut differing: Vec<&str> = Vec::new();
    for (ours, kafkas) in ours.lines().zip(kafkas.lines()) {
        match DIFFERENCES.iter().find(|(prefix, _)| kafkas.starts_with(prefix)) {
            Some((prefix, _)) if ours != kafkas => differing.push(prefix),
            _ => assert_eq!(ours, kafkas),
        }
    }
    for (prefix, reason) in DIFFERENCES {
        assert!(differing.contains(prefix), "no longer different, strike it off: {prefix} ({reason})");
    }
}
