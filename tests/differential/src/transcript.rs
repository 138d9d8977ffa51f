//! Answers as lines that can be compared: what must differ between two brokers is masked first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::value::Value;

/// The answers of one broker to a scenario.
#[derive(Default)]
pub struct Transcript {
    answers: Vec<Answer>,
}

struct Answer {
    label: String,
    lines: Vec<(String, String)>,
}

/// One line in which two transcripts differ.
#[derive(Clone, Debug)]
pub struct Difference {
    /// `Api@version`.
    pub label: String,
    /// Which of the answers, from 1.
    pub number: usize,
    /// Where in the answer.
    pub path: String,
    /// What Kafka says there.
    pub kafka: String,
    /// What Quipu says there.
    pub quipu: String,
}

impl Transcript {
    /// Adds an answer.
    pub fn answer(&mut self, label: String, value: &Value, masks: &mut Masks) {
        let mut lines = Vec::new();
        masks.flatten("", "", value, &mut lines);
        if label.starts_with("DescribeQuorum@") {
            // What is in the log of metadata, and who listens there, is each broker's own.
            for (path, text) in &mut lines {
                let own = ["logEndOffset", "highWatermark", "leaderEpoch", "port"];
                if own.iter().any(|field| path.ends_with(field)) && text != "-1" {
                    *text = "its own".into();
                }
            }
        }
        if label.starts_with("Fetch@") {
            // Kafka gives a topic twice when only some of its partitions fail.
            let mut seen = HashSet::new();
            lines.retain(|line| seen.insert(line.clone()));
        }
        self.answers.push(Answer { label, lines });
    }

    /// Adds a connection closed instead of an answer.
    pub fn closed(&mut self, label: String) {
        self.answers.push(Answer { label, lines: vec![("connection".into(), "closed".into())] });
    }

    /// All of it, for people.
    pub fn print(&self) {
        for (number, answer) in self.answers.iter().enumerate() {
            println!("    {} {}", number + 1, answer.label);
            for (path, text) in &answer.lines {
                println!("      {path} = {text}");
            }
        }
    }

    /// Every line that is not the same.
    pub fn differences(kafka: &Self, quipu: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        for index in 0..kafka.answers.len().max(quipu.answers.len()) {
            let lines = |transcript: &Self| {
                let mut by_path: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for (path, text) in transcript.answers.get(index).into_iter().flat_map(|answer| &answer.lines)
                {
                    by_path.entry(path.clone()).or_default().push(text.clone());
                }
                by_path
            };
            let (theirs, ours) = (lines(kafka), lines(quipu));
            let label =
                kafka.answers.get(index).or(quipu.answers.get(index)).map(|answer| answer.label.clone());
            let mut add = |path: String, kafka: String, quipu: String| {
                let label = label.clone().unwrap_or_default();
                found.push(Difference { label, number: index + 1, path, kafka, quipu });
            };
            let mut alone: BTreeMap<(String, bool), Vec<String>> = BTreeMap::new();
            for path in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
                match (theirs.get(path), ours.get(path)) {
                    (Some(theirs), Some(ours)) if theirs == ours => {}
                    // To say more than Kafka says is no difference.
                    (Some(theirs), Some(ours))
                        if path.ends_with("rrorMessage")
                            && ours.iter().all(|text| text == "…")
                            && theirs.iter().all(|text| text == "null" || text == "\"\"") => {}
                    (Some(theirs), Some(ours)) => add(path.clone(), theirs.join(" & "), ours.join(" & ")),
                    (theirs_there, ours_there) => {
                        let other = if theirs_there.is_some() { &ours } else { &theirs };
                        let root = root_of_absence(path, other);
                        let texts = theirs_there.or(ours_there).map(|texts| texts.join(" & "));
                        let text = format!(
                            "{} {}",
                            path[root.len()..].trim_start_matches('.'),
                            texts.unwrap_or_default()
                        );
                        alone
                            .entry((root.to_owned(), theirs_there.is_some()))
                            .or_default()
                            .push(text.trim().to_owned());
                    }
                }
            }
            for ((root, is_theirs), texts) in alone {
                let text = texts.join(", ");
                match is_theirs {
                    true => add(root, text, "absent".into()),
                    false => add(root, "absent".into(), text),
                }
            }
        }
        found
    }
}

/// The largest element of an array that holds `path` and is missing among `others`.
fn root_of_absence<'a>(path: &'a str, others: &BTreeMap<String, Vec<String>>) -> &'a str {
    let ends = path.char_indices().filter(|(_, c)| *c == ']').map(|(at, _)| &path[..=at]);
    let missing = |root: &&str| !others.keys().any(|other| other.starts_with(*root));
    ends.into_iter().find(missing).unwrap_or(path)
}

/// What is replaced, numbered in the order in which it is met.
pub struct Masks {
    port: i64,
    prefix: String,
    seen: HashMap<String, usize>,
    named: HashMap<String, String>,
    first_epoch: Option<i64>,
}

/// Fields that tell elements of an array apart, best first.
const IDENTITIES: [&str; 24] = [
    "name",
    "topicName",
    "topic",
    "partitionIndex",
    "partition",
    "index",
    "groupId",
    "group",
    "transactionalId",
    "apiKey",
    "resourceName",
    "brokerId",
    "nodeId",
    "feature",
    "entityType",
    "user",
    "offset",
    "baseOffset",
    "principal",
    "mechanism",
    "key",
    "replicaId",
    "memberId",
    "groupInstanceId",
];

/// Times of day lie between these; scenarios write times of 1970.
const NOW: std::ops::Range<i64> = 1_500_000_000_000..4_000_000_000_000;

impl Masks {
    /// Masks for a broker that listens on `port`, and a scenario whose names begin with `prefix`.
    pub fn new(port: i64, prefix: &str) -> Self {
        Self {
            port,
            prefix: prefix.to_owned(),
            seen: HashMap::new(),
            named: HashMap::new(),
            first_epoch: None,
        }
    }

    /// Shows an identifier by the name that the scenario has for it.
    pub fn name(&mut self, name: &str, value: &Value) {
        let key = match value {
            Value::Uuid(id) if !id.is_zero() => id.to_string(),
            Value::Text(text) if is_identifier(text) => text.clone(),
            _ => return,
        };
        self.named.entry(key).or_insert(format!("${name}"));
    }

    fn identity(&self, value: &Value) -> Option<String> {
        if let Some(Value::Uuid(id)) = value.get("topicId")
            && let Some(name) = self.named.get(&id.to_string())
        {
            return Some(name.clone());
        }
        IDENTITIES.iter().find_map(|name| match value.get(name)? {
            Value::Text(text) if self.named.contains_key(text) => Some(self.named[text].clone()),
            Value::Text(text) if is_identifier(text) || text.is_empty() => None,
            Value::Text(text) => Some(self.without_prefix(text)),
            Value::Int(number) => Some(number.to_string()),
            _ => None,
        })
    }

    fn without_prefix(&self, text: &str) -> String {
        if self.prefix.is_empty() { text.to_owned() } else { text.replace(&self.prefix, "%") }
    }

    /// A text that orders the elements of an array, without what is masked.
    fn skeleton(&self, value: &Value) -> String {
        let mut lines = Vec::new();
        let mut blind = Masks {
            named: self.named.clone(),
            first_epoch: self.first_epoch,
            ..Masks::new(-1, &self.prefix)
        };
        blind.flatten("", "", value, &mut lines);
        let mut text = self.identity(value).unwrap_or_default();
        for (path, line) in lines {
            text.push_str(&format!("|{path}={}", line.split('#').next().unwrap_or_default()));
        }
        text
    }

    fn number(&mut self, kind: &str, what: &str) -> String {
        let next = self.seen.keys().filter(|key| key.starts_with(kind)).count() + 1;
        let number = *self.seen.entry(format!("{kind} {what}")).or_insert(next);
        format!("{kind}#{number}")
    }

    fn flatten(&mut self, path: &str, field: &str, value: &Value, lines: &mut Vec<(String, String)>) {
        match value {
            Value::Map(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    if name == "throttleTimeMs" {
                        continue;
                    }
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.flatten(&path, name, value, lines);
                }
            }
            Value::Map(_) => lines.push((path.to_owned(), "{}".into())),
            Value::List(values) if values.iter().any(|value| matches!(value, Value::Map(_))) => {
                let mut elements: Vec<(String, &Value)> = values
                    .iter()
                    .filter(|value| !self.identity(value).is_some_and(|identity| is_foreign(&identity)))
                    .map(|value| (self.skeleton(value), value))
                    .collect();
                if elements.is_empty() {
                    lines.push((path.to_owned(), "[]".into()));
                }
                // Brokers keep these in hash tables: their order says nothing. That of records does.
                if field != "records" {
                    elements.sort_by(|one, other| one.0.cmp(&other.0));
                }
                let mut anonymous = 0;
                for (_, value) in elements {
                    let identity = self.identity(value).unwrap_or_else(|| {
                        anonymous += 1;
                        format!("#{anonymous}")
                    });
                    let path = format!("{path}[{identity}]");
                    self.flatten(&path, field, value, lines);
                }
            }
            Value::List(values) => {
                let mut texts: Vec<String> = values.iter().map(|value| self.scalar(field, value)).collect();
                texts.sort();
                lines.push((path.to_owned(), format!("[{}]", texts.join(", "))));
            }
            value => {
                let text = self.scalar(field, value);
                lines.push((path.to_owned(), text));
            }
        }
    }

    fn scalar(&mut self, field: &str, value: &Value) -> String {
        match (field, value) {
            // What an error says is up to the broker, and so is what a config is for.
            ("errorMessage" | "batchIndexErrorMessage" | "documentation", Value::Text(text))
                if !text.is_empty() =>
            {
                "…".into()
            }
            ("port", Value::Int(port)) if *port == self.port => "its own".into(),
            ("producerId" | "currentProducerId", Value::Int(id)) if *id >= 0 => {
                self.number("producer", &id.to_string())
            }
            ("clusterId", Value::Text(_)) => "its own".into(),
            ("sessionId", Value::Int(id)) if *id != 0 => self.number("session", &id.to_string()),
            ("logDir", Value::Text(_)) => "a directory".into(),
            ("totalBytes" | "usableBytes", Value::Int(number)) if *number > 0 => "some".into(),
            ("finalizedFeaturesEpoch", Value::Int(number)) if *number >= 0 => "some".into(),
            // Where a group begins to count is the coordinator's own business: Kafka 4.3 begins at 2, Quipu at 1.
            ("memberEpoch" | "groupEpoch" | "assignmentEpoch", Value::Int(epoch)) if *epoch > 0 => {
                format!("first+{}", epoch - *self.first_epoch.get_or_insert(*epoch))
            }
            // To a member of the classic protocol the group's epoch is the generation.
            ("generationId", Value::Int(generation)) if *generation > 0 && self.first_epoch.is_some() => {
                format!("first+{}", generation - self.first_epoch.unwrap_or_default())
            }
            (_, Value::Int(number)) if NOW.contains(number) => "now".into(),
            (_, Value::Int(number)) => number.to_string(),
            (_, Value::Float(number)) => number.to_string(),
            (_, Value::Bool(value)) => value.to_string(),
            (_, Value::Null) => "null".into(),
            (_, Value::Uuid(id)) if id.is_zero() => "no id".into(),
            (_, Value::Uuid(id)) => match self.named.get(&id.to_string()) {
                Some(name) => name.clone(),
                None => self.number("id", &id.to_string()),
            },
            (_, Value::Text(text)) => self.text(text),
            (_, Value::Bytes(bytes)) => {
                format!("0x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
            (_, Value::List(_) | Value::Map(_)) => format!("{value:?}"),
        }
    }

    fn text(&mut self, text: &str) -> String {
        if let Some(name) = self.named.get(text) {
            return name.clone();
        }
        if let Some(at) = random_uuid(text) {
            let id = self.number("uuid", &text[at..at + 36]);
            return format!("\"{}{id}{}\"", &text[..at], &text[at + 36..]);
        }
        if text.parse::<quipu_protocol::primitives::Uuid>().is_ok() {
            return self.number("id", text);
        }
        format!("\"{}\"", self.without_prefix(text))
    }
}

/// Where 8-4-4-4-12 hexadecimal digits begin.
fn random_uuid(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(35)).find(|&at| {
        text.is_char_boundary(at)
            && (0..36).all(|index| match index {
                8 | 13 | 18 | 23 => bytes[at + index] == b'-',
                _ => bytes[at + index].is_ascii_hexdigit(),
            })
    })
}

/// The part of a name that sets a scenario's names apart.
pub fn prefix(run: u64, scenario: usize, attempt: usize) -> String {
    // Names of one length, so that sizes and orders agree.
    format!("d{:05}-{:04}{}-", run % 100_000, scenario % 10_000, attempt % 10)
}

/// Whether a name belongs to another scenario: its own prefix is gone by then.
fn is_foreign(name: &str) -> bool {
    let form: Option<String> = name.get(..13).map(|head| head.replace(|c: char| c.is_ascii_digit(), "0"));
    form.as_deref() == Some("d00000-00000-")
}

/// Whether a broker has made that text up.
fn is_identifier(text: &str) -> bool {
    random_uuid(text).is_some() || text.parse::<quipu_protocol::primitives::Uuid>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Names, parse};

    fn transcript(text: &str) -> Transcript {
        let mut transcript = Transcript::default();
        let value = parse(text, &Names::default()).unwrap();
        transcript.answer("Api@1".into(), &value, &mut Masks::new(9092, ""));
        transcript
    }

    #[test]
    fn what_must_differ_is_masked() {
        let one = "{throttleTimeMs: 1, producerId: 7, at: 1763700000000, memberId: a-0b4c66cc-6d21-4b4c-a9f8-57a3e1aa0c06, list: [{name: b, x: 1} {name: a, x: 2}]}";
        let other = "{throttleTimeMs: 0, producerId: 9, at: 1763800000000, memberId: a-1b4c66cc-6d21-4b4c-a9f8-57a3e1aa0c06, list: [{name: a, x: 2} {name: b, x: 1}]}";
        assert!(Transcript::differences(&transcript(one), &transcript(other)).is_empty());
    }

    #[test]
    fn everything_else_is_told() {
        let one = transcript("{list: [{name: b, errorCode: 3} {name: a, errorCode: 0}], only: 1}");
        let other = transcript("{list: [{name: b, errorCode: 5} {name: a, errorCode: 0}]}");
        let found = Transcript::differences(&one, &other);
        let paths: Vec<&str> = found.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(paths, ["list[b].errorCode", "only"]);
        assert_eq!((found[0].kafka.as_str(), found[0].quipu.as_str()), ("3", "5"));
    }
}
