//! The figures of requests: switched on while the broker runs, written to the log on SIGUSR1 and at the end.

use crate::process::Logged;

/// The figures that it writes on request.
fn ask(broker: &mut Logged, word: &str) -> Vec<String> {
    broker.signal("USR1");
    broker.until(word)
}

/// Count and errors of an API in a table.
fn row(table: &[String], api: &str) -> Option<(u64, u64)> {
    let line = table.iter().find(|line| line.split_whitespace().any(|word| word == api))?;
    let mut numbers = line.split_whitespace().skip_while(|word| *word != api).skip(1);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[test]
fn a_signal_writes_where_the_time_of_requests_went() {
    let mut broker = Logged::dev(&["--override", "auto.create.topics.enable=false"], "info");
    let off = ask(&mut broker, "not measured");
    assert!(off.iter().any(|line| line.contains("quipu.request.metrics=true")), "it says how: {off:?}");
    assert!(broker.quipu(&["topic", "create", "t"], ""));
    assert!(broker.quipu(&["config", "set", "broker", "0", "quipu.request.metrics=true"], ""));
    assert!(broker.quipu(&["produce", "t", "--batch-bytes", "1"], "a\nb\nc\n"));
    assert!(broker.quipu(&["consume", "t", "-e"], ""));
    assert!(!broker.quipu(&["consume", "missing", "-e"], ""));
    let table = ask(&mut broker, "processor time");
    assert_eq!(row(&table, "Produce"), Some((3, 0)), "{table:?}");
    assert!(row(&table, "Fetch").is_some_and(|(count, errors)| count >= 1 && errors == 0), "{table:?}");
    assert!(
        row(&table, "Metadata").is_some_and(|(count, errors)| count > errors && errors >= 1),
        "{table:?}"
    );
    assert!(table.iter().any(|line| line.contains("UNKNOWN_TOPIC_OR_PARTITION: ")), "{table:?}");
    assert_eq!(row(&table, "CreateTopics"), None, "it came before: {table:?}");
    // Off and on again is a new beginning.
    for value in ["false", "true"] {
        let setting = format!("quipu.request.metrics={value}");
        assert!(broker.quipu(&["config", "set", "broker", "0", &setting], ""));
    }
    assert!(broker.quipu(&["produce", "t"], "d\n"));
    broker.signal("TERM");
    let last = broker.until("processor time");
    assert_eq!(row(&last, "Produce"), Some((1, 0)), "a clean stop tells them, too: {last:?}");
    assert_eq!(broker.wait(), Some(0));
}
