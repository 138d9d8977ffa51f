//! Every message in every version against the classes of Kafka's Java client 4.4.0.

use crate::codec::{self, Codec};
use crate::value::{Random, random_struct, write_struct};
use quipu_protocol::header::{RequestHeader, decode_request_header};
use quipu_protocol::primitives::Writer;
use quipu_protocol::schema::MessageKind;
use quipu_protocol::{ApiKey, ErrorCode};
use std::io::{BufReader, BufWriter, Read, Write};
use std::process::{Command, Stdio};

/// Random messages of each version.
const MESSAGES: usize = 24;

// What can be asked, as in `Oracle.java`.
const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;
const SUBSCRIPTION: u8 = 2;
const ASSIGNMENT: u8 = 3;
const HEADER: u8 = 4;
const ERRORS: u8 = 5;

struct Question {
    what: u8,
    key: i16,
    version: i16,
    /// `None` asks for the default.
    bytes: Option<Vec<u8>>,
}

impl Question {
    fn of(codec: &Codec, version: i16, bytes: Option<Vec<u8>>) -> Self {
        let what = match codec.kind {
            MessageKind::Request => REQUEST,
            MessageKind::Response => RESPONSE,
            _ if codec.name == "ConsumerProtocolSubscription" => SUBSCRIPTION,
            _ => ASSIGNMENT,
        };
        Self { what, key: codec.key.unwrap_or(-1), version, bytes }
    }
}

/// Asks a Java process of its own; the answers are in the order of the questions.
fn ask(questions: &[Question]) -> Vec<Result<Vec<u8>, String>> {
    let jars = crate::kafka_jars();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/java/Oracle.java");
    let mut child = Command::new("java")
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "--class-path"])
        .arg(format!("{}/*", jars.display()))
        .arg(source)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("java is installed");
    let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let answers = std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut stdin = BufWriter::new(stdin);
            for question in questions {
                let mut w = Writer::new();
                w.put_u8(question.what);
                w.put_i16(question.key);
                w.put_i16(question.version);
                w.put_i32(question.bytes.as_ref().map_or(-1, |bytes| bytes.len() as i32));
                w.put_bytes(question.bytes.as_deref().unwrap_or_default());
                // A process that died says why on its error output.
                if stdin.write_all(&w.into_bytes()).is_err() {
                    return;
                }
            }
        });
        let mut stdout = BufReader::new(stdout);
        let answer = |_: &Question| {
            let mut head = [0; 5];
            stdout.read_exact(&mut head).ok()?;
            let mut bytes = vec![0; u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize];
            stdout.read_exact(&mut bytes).ok()?;
            let ok = head[0] == 1;
            Some(if ok { Ok(bytes) } else { Err(String::from_utf8_lossy(&bytes).into_owned()) })
        };
        questions.iter().map_while(answer).collect::<Vec<_>>()
    });
    let output = child.wait_with_output().expect("java ends");
    assert_eq!(answers.len(), questions.len(), "java stopped: {}", String::from_utf8_lossy(&output.stderr));
    answers
}

#[test]
fn every_message_has_the_bytes_of_kafka() {
    let codecs = codec::all();
    let mut questions = Vec::new();
    let mut expected = Vec::new();
    for (index, codec) in codecs.iter().enumerate() {
        for version in codec.versions.clone() {
            for seed in 0..MESSAGES {
                let mut random = Random((index as u64) << 32 | (version as u64) << 16 | seed as u64);
                let value = random_struct(codec.schema, version, &mut random);
                let mut bytes = Vec::new();
                write_struct(codec.schema, &value, version, codec.is_flexible(version), &mut bytes);
                let label = format!("{} v{version} seed {seed}", codec.name);
                assert_eq!((codec.decode)(&bytes, version), Ok(0), "{label}");
                assert_eq!((codec.recode)(&bytes, version).as_deref(), Ok(&bytes[..]), "{label}");
                questions.push(Question::of(codec, version, Some(bytes.clone())));
                expected.push((label, bytes));
            }
        }
    }
    for (answer, (label, bytes)) in ask(&questions).into_iter().zip(expected) {
        assert_eq!(answer, Ok(bytes), "{label}");
    }
}

#[test]
fn every_default_is_the_default_of_kafka() {
    let codecs = codec::all();
    let versions: Vec<(&Codec, i16)> =
        codecs.iter().flat_map(|codec| codec.versions.clone().map(move |version| (codec, version))).collect();
    let questions: Vec<_> =
        versions.iter().map(|(codec, version)| Question::of(codec, *version, None)).collect();
    for (answer, (codec, version)) in ask(&questions).into_iter().zip(versions) {
        assert_eq!(answer, Ok((codec.default)(version)), "{} v{version}", codec.name);
    }
}

#[test]
fn headers_are_those_of_kafka() {
    let versions: Vec<(ApiKey, i16)> =
        ApiKey::ALL.iter().flat_map(|&api| api.versions().map(move |version| (api, version))).collect();
    let question =
        |&(api, version): &(ApiKey, i16)| Question { what: HEADER, key: api.key(), version, bytes: None };
    let questions: Vec<_> = versions.iter().map(question).collect();
    for (answer, (api, version)) in ask(&questions).into_iter().zip(versions) {
        let header = RequestHeader {
            api_key: api.key(),
            api_version: version,
            correlation_id: 7,
            client_id: Some("client".into()),
        };
        let mut w = Writer::new();
        header.encode(&mut w);
        let bytes = w.into_bytes();
        assert_eq!(decode_request_header(&bytes).map(|(header, r)| (header, r.remaining())), Ok((header, 0)));

        let mut ours = api.request_header_version(version).to_be_bytes().to_vec();
        ours.extend(api.response_header_version(version).to_be_bytes());
        ours.extend(bytes);
        assert_eq!(answer, Ok(ours), "{api} v{version}");
    }
}

#[test]
fn error_codes_are_those_of_kafka() {
    let answer =
        ask(&[Question { what: ERRORS, key: 0, version: 0, bytes: None }]).remove(0).expect("errors");
    let mut theirs: Vec<_> = str::from_utf8(&answer)
        .expect("text")
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .collect();
    theirs.sort_by_key(|line| line[0].parse::<i16>().expect("a code"));
    let ours: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| (code.0.to_string(), code.name().unwrap_or_default(), code.is_retriable().to_string()))
        .collect();
    let ours: Vec<_> =
        ours.iter().map(|(code, name, retriable)| vec![&code[..], name, &retriable[..]]).collect();
    assert_eq!(ours, theirs);
}
