//! Access control lists that hold, across a restart, and an authorizer that cannot be had.

use std::process::Output;

use crate::process::{Broker, quipu};

const AUTHORIZER: &str = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";
const OPEN: [&str; 4] = ["--override", AUTHORIZER, "--override", "allow.everyone.if.no.acl.found=true"];

fn done(broker: &Broker, arguments: &[&str]) {
    let output = broker.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

fn produce(broker: &Broker, topic: &str) -> Output {
    broker.run_with_input(&["produce", topic], b"hello\n")
}

#[track_caller]
fn assert_denied(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.to_lowercase().contains("authorization"), "{said}");
}

#[test]
fn what_is_denied_stays_denied_until_the_entry_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::serve(dir.path(), &OPEN);
    done(&broker, &["topic", "create", "orders"]);
    assert!(produce(&broker, "orders").status.success());
    done(
        &broker,
        &["acl", "add", "--deny", "User:*", "--operation", "write", "--topic", "ord", "--prefixed"],
    );
    assert_denied(&produce(&broker, "orders"));
    assert!(produce(&broker, "other").status.success(), "other topics are open");

    broker.stop();
    let broker = Broker::serve(dir.path(), &OPEN);
    assert_denied(&produce(&broker, "orders"));
    done(&broker, &["acl", "add", "--allow", "User:*", "--operation", "write", "--topic", "orders"]);
    assert_denied(&produce(&broker, "orders"));
    done(&broker, &["acl", "delete", "--topic", "ord", "--prefixed"]);
    assert!(produce(&broker, "orders").status.success());

    // The same lists without anybody who keeps to them.
    broker.stop();
    let broker = Broker::serve(dir.path(), &[]);
    assert!(produce(&broker, "orders").status.success());
}

#[test]
fn an_authorizer_without_entries_refuses_everyone_but_super_users() {
    let broker = Broker::dev(&["--override", AUTHORIZER]);
    assert_denied(&broker.run(&["topic", "create", "orders"]));
    let broker = Broker::dev(&["--override", AUTHORIZER, "--override", "super.users=User:a; User:ANONYMOUS"]);
    done(&broker, &["topic", "create", "orders"]);
}

#[test]
fn another_authorizer_stops_the_start() {
    let class = "authorizer.class.name=org.example.Authorizer";
    let (code, _, said) = quipu(&["dev", "--port", "0", "--override", class]);
    assert_eq!(code, Some(1), "{said}");
    for part in
        ["authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "leave it empty"]
    {
        assert!(said.contains(part), "{said}");
    }
}
