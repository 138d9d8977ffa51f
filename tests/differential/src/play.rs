//! Plays a scenario against one broker and writes down its answers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use quipu_protocol::ApiKey;
use quipu_protocol::header::{RequestHeader, decode_response_header};
use quipu_protocol::primitives::{Str, Writer};

use crate::codec::{decode_response, encode_request};
use crate::script::{self, Action, Question, Scenario};
use crate::transcript::{Masks, Transcript};
use crate::value::{Names, Value, parse};

/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait of a question that is asked again.
const AGAIN_FOR: Duration = Duration::from_secs(12);
/// Begins the names of groups whose configs mark how far a broker has come; no scenario sees them.
const BARRIER: &str = "d00000-00000-";
const AGAIN_EVERY: Duration = Duration::from_millis(30);
const MEMBER_ID_REQUIRED: i64 = 79;
/// Coordinator loading, not available, not here; transactions that are still being completed.
const NOT_READY: [i64; 4] = [14, 15, 16, 51];

/// The versions of each API.
pub type Ranges = BTreeMap<ApiKey, (i16, i16)>;

/// One of the two brokers.
#[derive(Clone, Debug)]
pub struct Side {
    /// Host and port.
    pub address: String,
    /// An error code that is told as another one: shows that the comparison can fail.
    pub planted: Option<(i64, i64)>,
}

/// Answers and what they cover.
pub struct Played {
    /// The answers.
    pub transcript: Transcript,
    /// How often each version of each API was asked and compared.
    pub covered: BTreeMap<(ApiKey, i16), usize>,
    answers: Vec<Value>,
}

/// Plays the scenario. `patience` is given to a broker to spread what was changed.
///
/// # Errors
/// The scenario cannot be played to its end: what stands where.
pub fn play(
    scenario: &Scenario,
    side: &Side,
    ranges: &Ranges,
    prefix: &str,
    patience: Duration,
) -> Result<Played, String> {
    let port = side.address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default();
    let mut names = Names { prefix: prefix.to_owned(), ..Names::default() };
    if let Some(version) = scenario.version {
        names.bound.insert("v".into(), Value::Int(version.into()));
    }
    let mut player = Player {
        side,
        ranges,
        names,
        patience,
        connections: HashMap::new(),
        changes: 0,
        masks: Masks::new(port, prefix),
        played: Played { transcript: Transcript::default(), covered: BTreeMap::new(), answers: Vec::new() },
    };
    for step in &scenario.steps {
        player
            .step(&step.connection, &step.action)
            .map_err(|error| format!("{} line {}: {error}", scenario.name, step.line))?;
    }
    Ok(player.played)
}

/// Plays a scenario for its answers alone.
///
/// # Errors
/// As [`play`].
pub fn answers(scenario: &Scenario, side: &Side, ranges: &Ranges) -> Result<Vec<Value>, String> {
    play(scenario, side, ranges, "", Duration::ZERO).map(|played| played.answers)
}

struct Connection {
    stream: TcpStream,
    next_id: i32,
    sent: VecDeque<(i32, ApiKey, i16, Question)>,
}

struct Player<'a> {
    side: &'a Side,
    ranges: &'a Ranges,
    names: Names,
    patience: Duration,
    connections: HashMap<String, Connection>,
    changes: i64,
    masks: Masks,
    played: Played,
}

impl Player<'_> {
    fn step(&mut self, connection: &str, action: &Action) -> Result<(), String> {
        match action {
            Action::Ask(question) => self.ask(connection, question),
            Action::Send(question) => {
                let version = self.versions(question)?.first().copied().ok_or("no version")?;
                self.send(connection, question, version)
            }
            Action::Receive => self.receive(connection).map(drop),
            Action::Close => {
                self.connections.remove(connection);
                Ok(())
            }
            Action::Wait(ms) => {
                std::thread::sleep(Duration::from_millis(*ms));
                Ok(())
            }
            Action::Let(name, text) => {
                let value = parse(text, &self.names)?;
                self.names.bound.insert(name.clone(), value);
                Ok(())
            }
            Action::Topic(name, partitions, configs) => self.topic(connection, name, partitions, configs),
            Action::Produce(topic, partition, records) => self.produce(connection, topic, partition, records),
        }
    }

    fn versions(&self, question: &Question) -> Result<Vec<i16>, String> {
        let range = self.ranges.get(&question.api).copied();
        let range = range.ok_or_else(|| format!("{} is not served by both", question.api.name()))?;
        script::versions(&self.names.fill(&question.versions)?, range)
    }

    fn ask(&mut self, connection: &str, question: &Question) -> Result<(), String> {
        for version in self.versions(question)? {
            let began = Instant::now();
            loop {
                let once = Question { compared: false, ..question.clone() };
                self.send(connection, &once, version)?;
                let answer = self.receive(connection)?;
                let again = match (&answer, &question.until) {
                    (None, _) => false,
                    (Some(answer), Some((path, value))) => {
                        let wanted = parse(value, &self.names)?;
                        answer.at(path) != Some(&wanted)
                    }
                    (Some(answer), None) => question.patient && is_not_ready(answer),
                };
                if !again || began.elapsed() > AGAIN_FOR {
                    let name = question.api.name();
                    match answer {
                        answer if question.compared => self.note(question.api, version, answer.as_ref()),
                        // What a scenario builds on has to have worked; that a member first needs an id is no failure.
                        Some(answer) if answer.any_int_but("errorCode", &[0, MEMBER_ID_REQUIRED]) => {
                            return Err(format!(
                                "{name}@{version} failed, on which the rest builds: {answer:?}"
                            ));
                        }
                        _ => {}
                    }
                    break;
                }
                std::thread::sleep(AGAIN_EVERY);
            }
            if changes_metadata(question.api) {
                self.settle(connection)?;
            }
        }
        Ok(())
    }

    /// Waits until the broker itself has seen what its controller has answered: changes arrive there in order, so one
    /// more of them is made and looked for.
    fn settle(&mut self, connection: &str) -> Result<(), String> {
        if !self.connections.contains_key(connection) {
            return Ok(()); // closed by the answer: nothing was changed
        }
        self.changes += 1;
        let (group, value) = (format!("{BARRIER}{}", self.names.prefix), 45_000 + self.changes);
        let resource = format!("resourceType: 32, resourceName: {group}");
        let key = "consumer.session.timeout.ms";
        let change = format!(
            "{{resources: [{{{resource}, configs: [{{name: {key}, configOperation: 0, value: {value}}}]}}]}}"
        );
        let look = format!("{{resources: [{{{resource}, configurationKeys: [{key}]}}]}}");
        self.quietly("barrier", ApiKey::IncrementalAlterConfigs, 1, change)?;
        let began = Instant::now();
        while began.elapsed() < AGAIN_FOR {
            let seen = self.quietly("barrier", ApiKey::DescribeConfigs, 4, look.clone())?;
            if seen.at("results.0.configs.0.value") == Some(&Value::Text(value.to_string())) {
                std::thread::sleep(self.patience);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        Err("what the controller answered never came to the broker".into())
    }

    fn note(&mut self, api: ApiKey, version: i16, answer: Option<&Value>) {
        let label = format!("{}@{version}", api.name());
        match answer {
            Some(answer) => {
                *self.played.covered.entry((api, version)).or_default() += 1;
                self.played.transcript.answer(label, answer, &mut self.masks);
                self.played.answers.push(answer.clone());
            }
            None => self.played.transcript.closed(label),
        }
    }

    fn connection(&mut self, name: &str) -> Result<&mut Connection, String> {
        if !self.connections.contains_key(name) {
            let stream = TcpStream::connect(&self.side.address).map_err(|error| error.to_string())?;
            stream
                .set_nodelay(true)
                .and(stream.set_read_timeout(Some(ANSWER_TIMEOUT)))
                .map_err(|e| e.to_string())?;
            let connection = Connection { stream, next_id: 1, sent: VecDeque::new() };
            self.connections.insert(name.to_owned(), connection);
        }
        Ok(self.connections.get_mut(name).expect("just opened"))
    }

    fn send(&mut self, connection: &str, question: &Question, version: i16) -> Result<(), String> {
        let body = parse(&question.body, &self.names)?;
        let api = question.api;
        // What no codec knows is asked in the form of the nearest version: the broker should not read on.
        let known = version.clamp(*api.versions().start(), *api.versions().end());
        let body = encode_request(api, known, &body)?;
        let connection = self.connection(connection)?;
        let correlation_id = connection.next_id;
        connection.next_id += 1;
        let mut w = Writer::new();
        let header = RequestHeader {
            api_key: api.key(),
            api_version: version,
            correlation_id,
            client_id: Some(Str::Borrowed("differential")),
        };
        header.encode(&mut w);
        w.put_bytes(&body);
        let frame = w.into_bytes();
        let mut bytes = (frame.len() as i32).to_be_bytes().to_vec();
        bytes.extend(frame);
        connection.sent.push_back((correlation_id, api, version, question.clone()));
        // A broker that closes meanwhile shows itself when the answer is read.
        let _ = connection.stream.write_all(&bytes);
        Ok(())
    }

    /// Reads an answer; none means that the broker closed the connection.
    fn receive(&mut self, name: &str) -> Result<Option<Value>, String> {
        let connection = self.connections.get_mut(name).ok_or("nothing was sent")?;
        let (id, api, version, question) = connection.sent.pop_front().ok_or("nothing was sent")?;
        let answer = match read_frame(&mut connection.stream) {
            Ok(frame) => frame,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(format!("no answer to {}@{version} within {ANSWER_TIMEOUT:?}", api.name()));
            }
            Err(_) => {
                self.connections.remove(name);
                if question.compared {
                    self.note(api, version, None);
                }
                return Ok(None);
            }
        };
        let value = decode(&answer, id, api, version)
            .map_err(|error| format!("{}@{version}: {error}", api.name()))?;
        let value = match self.side.planted {
            Some((from, to)) => plant(value, from, to),
            None => value,
        };
        for (bound, path) in &question.binds {
            let part = value.at(path).ok_or_else(|| format!("the answer has no {path}: {value:?}"))?;
            self.masks.name(bound, part);
            self.names.bound.insert(bound.clone(), part.clone());
        }
        if question.compared {
            self.note(api, version, Some(&value));
        }
        Ok(Some(value))
    }

    /// Asks without comparing, and gives the answer.
    fn quietly(
        &mut self,
        connection: &str,
        api: ApiKey,
        version: i16,
        body: String,
    ) -> Result<Value, String> {
        let question = Question {
            api,
            versions: String::new(),
            body,
            compared: false,
            patient: false,
            until: None,
            binds: Vec::new(),
        };
        self.send(connection, &question, version)?;
        self.receive(connection)?.ok_or_else(|| format!("{} was not answered", api.name()))
    }

    fn topic(
        &mut self,
        connection: &str,
        name: &str,
        partitions: &str,
        configs: &[(String, String)],
    ) -> Result<(), String> {
        let configs: Vec<String> =
            configs.iter().map(|(key, value)| format!("{{name: \"{key}\", value: \"{value}\"}}")).collect();
        let body = format!(
            "{{timeoutMs: 10000, topics: [{{name: {name}, numPartitions: {partitions}, replicationFactor: 1, configs: [{}]}}]}}",
            configs.join(" ")
        );
        let created = self.quietly(connection, ApiKey::CreateTopics, 7, body)?;
        if created.any_int("errorCode", &[0]) {
            let id = created.at("topics.0.topicId").cloned().ok_or("no topic id")?;
            let name = name.trim_start_matches('%');
            self.masks.name(name, &id);
            self.names.bound.insert(name.to_owned(), id);
        } else {
            return Err(format!("topic {name} was not created: {created:?}"));
        }
        // The answer comes before the partitions can be used.
        let count: i32 =
            self.names.fill(partitions)?.parse().map_err(|_| format!("{partitions} partitions"))?;
        let list: Vec<String> =
            (0..count).map(|index| format!("{{partitionIndex: {index}, timestamp: -2}}")).collect();
        let body = format!("{{replicaId: -1, topics: [{{name: {name}, partitions: [{}]}}]}}", list.join(" "));
        let began = Instant::now();
        loop {
            let listed = self.quietly(connection, ApiKey::ListOffsets, 5, body.clone())?;
            if !listed.any_int("errorCode", &[3, 5, 6, 9, 56]) {
                return Ok(());
            }
            if began.elapsed() > AGAIN_FOR {
                return Err(format!("topic {name} cannot be used: {listed:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn produce(
        &mut self,
        connection: &str,
        topic: &str,
        partition: &str,
        records: &[String],
    ) -> Result<(), String> {
        let body = format!(
            "{{acks: -1, timeoutMs: 5000, topicData: [{{name: {topic}, partitionData: [{{index: {partition}, records: {{records: [{}]}}}}]}}]}}",
            records.join(" ")
        );
        let produced = self.quietly(connection, ApiKey::Produce, 9, body)?;
        match produced.at("responses.0.partitionResponses.0.errorCode") {
            Some(Value::Int(0)) => Ok(()),
            _ => Err(format!("nothing was appended to {topic}: {produced:?}")),
        }
    }
}

fn decode(answer: &[u8], id: i32, api: ApiKey, version: i16) -> Result<Value, String> {
    // A version of ApiVersions that the broker does not know is answered in version 0.
    let known = api.versions().contains(&version);
    let version = if api == ApiKey::ApiVersions && (!known || answer.get(4..6) == Some(&[0, 35])) {
        0
    } else {
        version
    };
    let (answered, mut body) =
        decode_response_header(answer, api, version).map_err(|error| error.to_string())?;
    if answered != id {
        return Err(format!("answer {answered} to question {id}"));
    }
    decode_response(api, version, &mut body)
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn is_not_ready(answer: &Value) -> bool {
    ["errorCode", "partitionErrorCode"].iter().any(|field| answer.any_int(field, &NOT_READY))
}

fn plant(value: Value, from: i64, to: i64) -> Value {
    match value {
        Value::List(values) => Value::List(values.into_iter().map(|value| plant(value, from, to)).collect()),
        Value::Map(fields) => Value::Map(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let code = name == "errorCode" && value == Value::Int(from);
                    (name, if code { Value::Int(to) } else { plant(value, from, to) })
                })
                .collect(),
        ),
        other => other,
    }
}

/// Kafka's controller answers such a request before its broker has seen the change.
fn changes_metadata(api: ApiKey) -> bool {
    use ApiKey::*;
    matches!(
        api,
        CreateTopics
            | DeleteTopics
            | CreatePartitions
            | AlterConfigs
            | IncrementalAlterConfigs
            | CreateAcls
            | DeleteAcls
            | AlterClientQuotas
            | AlterUserScramCredentials
            | UpdateFeatures
            | AlterPartitionReassignments
    )
}
