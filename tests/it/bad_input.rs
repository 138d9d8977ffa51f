//! What strangers send: the protocol's own error or a closed connection, nothing lost, and the others are served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::Broker;

const API_VERSIONS: i16 = 18;
const METADATA: i16 = 3;

fn connect(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(broker.address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    stream
}

/// A request with a version-1 header and no client id.
fn request(key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(correlation_id.to_be_bytes());
    frame.extend((-1i16).to_be_bytes());
    frame.extend(body);
    [&(frame.len() as i32).to_be_bytes()[..], &frame].concat()
}

fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut body = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).expect("a whole answer");
    body
}

/// True when the broker has closed the connection without a word.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(n) => n == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn is_serving(broker: &Broker) {
    let mut stream = connect(broker);
    stream.write_all(&request(API_VERSIONS, 0, 7, &[])).unwrap();
    let body = answer(&mut stream);
    assert_eq!(body[..6], [0, 0, 0, 7, 0, 0], "correlation id and no error");
}

#[test]
fn frames_that_are_none_close_their_connection_only() {
    let broker = Broker::dev(&[]);
    let mut served = connect(&broker);
    let cases: [(&str, Vec<u8>); 9] = [
        ("too large", i32::MAX.to_be_bytes().to_vec()),
        ("negative", (-5i32).to_be_bytes().to_vec()),
        ("empty", 0i32.to_be_bytes().to_vec()),
        (
            "too large for its key",
            [&50_000_000i32.to_be_bytes()[..], &METADATA.to_be_bytes(), &[0; 12]].concat(),
        ),
        ("unknown key", request(9_999, 0, 1, &[])),
        ("unknown version", request(METADATA, 99, 1, &[])),
        ("garbage", b"\x00\x00\x00\x20rubbish rubbish rubbish rubbish!".to_vec()),
        ("a TLS hello", vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ];
    for (name, bytes) in cases {
        let mut stream = connect(&broker);
        stream.write_all(&bytes).unwrap();
        assert!(is_closed(&mut stream), "{name}");
        served.write_all(&request(API_VERSIONS, 0, 1, &[])).unwrap();
        assert_eq!(answer(&mut served)[..4], [0, 0, 0, 1], "others are served after: {name}");
    }
}

#[test]
fn an_unknown_api_versions_version_is_told_what_there_is() {
    let broker = Broker::dev(&[]);
    let mut stream = connect(&broker);
    // Its header is of the flexible kind: no tags, then whatever body such a version may have.
    stream.write_all(&request(API_VERSIONS, 1_000, 3, &[0, 1, 2, 3])).unwrap();
    let body = answer(&mut stream);
    assert_eq!(body[..6], [0, 0, 0, 3, 0, 35], "UNSUPPORTED_VERSION in the oldest form");
    assert_eq!(body[6..14], [0, 0, 0, 1, 0, 18, 0, 0], "and, as from Kafka, which version to ask in instead");
    // The connection goes on: the client tries again with a version of that range.
    stream.write_all(&request(API_VERSIONS, 0, 4, &[])).unwrap();
    assert_eq!(answer(&mut stream)[..6], [0, 0, 0, 4, 0, 0]);
}

#[test]
fn array_lengths_are_not_believed() {
    let broker = Broker::dev(&[]);
    let mut stream = connect(&broker);
    // Metadata version 1 with two billion topics announced and none sent.
    stream.write_all(&request(METADATA, 1, 1, &i32::MAX.to_be_bytes())).unwrap();
    assert!(is_closed(&mut stream));
    is_serving(&broker);
}

#[test]
fn half_a_frame_holds_up_nobody() {
    let broker = Broker::dev(&[]);
    let whole = request(API_VERSIONS, 0, 5, &[]);
    let mut slow = connect(&broker);
    slow.write_all(&whole[..7]).unwrap();
    is_serving(&broker);
    // The rest may come later, in single bytes.
    for byte in &whole[7..] {
        slow.write_all(&[*byte]).unwrap();
    }
    assert_eq!(answer(&mut slow)[..4], [0, 0, 0, 5]);
    // Or never.
    let mut cut = connect(&broker);
    cut.write_all(&whole[..9]).unwrap();
    drop(cut);
    is_serving(&broker);
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let broker = Broker::dev(&[]);
    let mut stream = connect(&broker);
    let burst: Vec<u8> = (0..500).flat_map(|n| request(API_VERSIONS, 0, n, &[])).collect();
    let mut writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || writer.write_all(&burst).unwrap());
    for n in 0..500i32 {
        assert_eq!(answer(&mut stream)[..4], n.to_be_bytes());
    }
    sender.join().unwrap();
}

#[test]
fn two_hundred_promised_frames_take_no_memory() {
    let broker = Broker::dev(&[]);
    let before = resident_bytes(broker.pid());
    let promises: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = connect(&broker);
            // A Produce of 50 MB, of which only the first bytes ever come.
            stream
                .write_all(&[&50_000_000i32.to_be_bytes()[..], &[0, 0, 0, 9, 0, 0, 0, 1]].concat())
                .unwrap();
            stream
        })
        .collect();
    is_serving(&broker);
    let grown = resident_bytes(broker.pid()).saturating_sub(before);
    assert!(grown < 64 << 20, "200 promises of 50 MB took {} MB", grown >> 20);
    drop(promises);
}

fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a Linux process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("kB") * 1024
}
