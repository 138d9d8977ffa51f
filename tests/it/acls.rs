//! Access control lists that hold, across a restart, and an authorizer that cannot be had.

use std::process::Output;

use quipu_protocol::ApiKey;

use crate::client::Client;
use crate::process::{Broker, Logged, quipu};
use crate::produce::fetch_request;

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
fn the_log_tells_of_a_refusal_once_a_request_and_of_entries_that_deny_nobody() {
    let mut broker = Logged::dev(&OPEN, "info");
    let read = ["--host", "*", "--operation", "read", "--topic", "orders"];
    for (permission, host) in [("--allow", "fe80::1%eth0"), ("--deny", "fe80::1%eth0"), ("--deny", "*")] {
        let mut arguments = [&["acl", "add", permission, "User:*"], &read[..]].concat();
        arguments[5] = host;
        assert!(broker.quipu(&arguments, ""));
    }
    let mut request = fetch_request("orders", 0, 0, 0, 1 << 20);
    let partition = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = vec![partition; 1_000];
    request.topics.push(request.topics[0].clone());
    let mut client = Client::new(broker.broker());
    for _ in 0..2 {
        client.call(ApiKey::Fetch, 11, &request);
    }
    broker.signal("TERM");
    let log = broker.rest();
    let told = |what: &str| log.iter().filter(|line| line.contains(what) && line.contains("orders")).count();
    assert_eq!((told("denied"), told("fe80::1%eth0")), (2, 1), "{log:?}");
    broker.wait();
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
