//! Scenarios as they are written in `scenarios/*.txt`.
//!
//! ```text
//! # A comment.
//! == what is shown | Fetch low,high | alone
//! topic %t 2 cleanup.policy=compact
//! produce %t 0 a k=v
//! Fetch@$v {maxWaitMs: 0, topics: [{topic: %t, topicId: $t, partitions: [{partition: 0, partitionMaxBytes: 1000}]}]}
//! b: + InitProducerId@high {transactionalId: %x} -> pid=producerId
//! ```
//!
//! A scenario runs once for each version that its head lists, with `$v` as the version; `alone` keeps others away while
//! it runs, and `with key=value` has it run on brokers of its own, which are told that besides what all are told. Steps:
//!
//! | Step | What it does |
//! |---|---|
//! | `Api@versions {body} -> name=path, …` | asks in each version, and binds parts of the last answer |
//! | `- Api…` | the answer is not compared |
//! | `+ Api…` | asks again while the answer says that a coordinator is not ready |
//! | `until path=value Api…` | asks again until the answer says so, for a while |
//! | `send Api…`, `receive`, `close` | the two halves of a question; the end of a connection |
//! | `name: step` | on a connection of its own |
//! | `topic %t partitions key=value…` | creates a topic; `$t` is its id |
//! | `produce %t partition record…` | appends one batch; each record is `value` or `key=value` |
//! | `let name = value`, `wait ms` | |

use quipu_protocol::ApiKey;

/// One way through the brokers.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// File and title, and the version when it runs in several.
    pub name: String,
    /// No other scenario may run meanwhile.
    pub alone: bool,
    /// What its brokers are told besides what all are told, as `key=value`.
    pub with: Option<String>,
    /// Value of `$v`.
    pub version: Option<i16>,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// One line of a scenario.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it stands.
    pub line: usize,
    /// The connection, empty for the first one.
    pub connection: String,
    /// What to do.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Asks.
    Ask(Question),
    /// Sends without waiting.
    Send(Question),
    /// Waits for what was sent.
    Receive,
    /// Closes the connection.
    Close,
    /// Sleeps for milliseconds.
    Wait(u64),
    /// Binds a name to an expression.
    Let(String, String),
    /// Creates a topic: name, partitions, configs.
    Topic(String, String, Vec<(String, String)>),
    /// Appends a batch: topic, partition, records.
    Produce(String, String, Vec<String>),
}

/// A request to make.
#[derive(Clone, Debug)]
pub struct Question {
    /// The API.
    pub api: ApiKey,
    /// As written behind the `@`.
    pub versions: String,
    /// As written.
    pub body: String,
    /// The answer counts.
    pub compared: bool,
    /// Ask again while a coordinator is not ready.
    pub patient: bool,
    /// Ask again until that path has that value.
    pub until: Option<(String, String)>,
    /// Names bound to parts of the answer.
    pub binds: Vec<(String, String)>,
}

/// The versions that a list such as `low,4..6,high` means, for an API that both brokers serve in `range`.
pub fn versions(list: &str, range: (i16, i16)) -> Result<Vec<i16>, String> {
    let number = |word: &str| match word {
        "low" => Ok(range.0),
        "high" => Ok(range.1),
        _ => word.parse::<i16>().map_err(|_| format!("{word} is no version")),
    };
    let mut found = Vec::new();
    for word in list.split(',').map(str::trim) {
        match (word, word.split_once("..")) {
            ("all", _) => found.extend(range.0..=range.1),
            (_, Some((first, last))) => found.extend(number(first)?..=number(last)?),
            _ => found.push(number(word)?),
        }
    }
    found.dedup();
    Ok(found)
}

/// The API of that name.
pub fn api(name: &str) -> Option<ApiKey> {
    ApiKey::ALL.iter().copied().find(|api| api.name() == name)
}

/// Reads a file of scenarios. `range` gives the versions of an API that both brokers serve.
pub fn parse(
    file: &str,
    text: &str,
    range: impl Fn(ApiKey) -> Option<(i16, i16)>,
) -> Result<Vec<Scenario>, String> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut block: Vec<Scenario> = Vec::new();
    let mut opened = false;
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let number = at + 1;
        let wrong = |error: String| format!("{file}:{number}: {error}");
        let mut line = line.trim().to_owned();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(head) = line.strip_prefix("== ") {
            scenarios.append(&mut block);
            block = open(file, head, &range).map_err(wrong)?;
            opened = true;
            continue;
        }
        while line.matches(['{', '[']).count() > line.matches(['}', ']']).count() {
            let (_, more) = lines.next().ok_or_else(|| wrong("a bracket is not closed".into()))?;
            line.push(' ');
            line.push_str(more.trim());
        }
        let step = step(number, &line).map_err(wrong)?;
        if !opened {
            return Err(wrong("a step before any scenario".into()));
        }
        for scenario in &mut block {
            scenario.steps.push(step.clone());
        }
    }
    scenarios.append(&mut block);
    Ok(scenarios)
}

fn open(
    file: &str,
    head: &str,
    range: &impl Fn(ApiKey) -> Option<(i16, i16)>,
) -> Result<Vec<Scenario>, String> {
    let mut parts = head.split('|').map(str::trim);
    let name = format!("{}/{}", file.trim_end_matches(".txt"), parts.next().unwrap_or_default());
    let mut scenario = Scenario { name, alone: false, with: None, version: None, steps: Vec::new() };
    let mut swept = None;
    for part in parts {
        match part.split_once(' ') {
            None if part == "alone" => scenario.alone = true,
            Some(("with", setting)) => scenario.with = Some(setting.to_owned()),
            Some((word, list)) => {
                let api = api(word).ok_or_else(|| format!("no API {word}"))?;
                // Not served by both: no version, no scenario.
                swept = Some(range(api).map_or(Ok(Vec::new()), |range| versions(list, range))?);
            }
            _ => return Err(format!("{part} means nothing")),
        }
    }
    Ok(match swept {
        None => vec![scenario],
        Some(versions) => versions
            .into_iter()
            .map(|version| Scenario {
                name: format!("{} @{version}", scenario.name),
                version: Some(version),
                ..scenario.clone()
            })
            .collect(),
    })
}

fn step(line: usize, text: &str) -> Result<Step, String> {
    let (connection, text) = match text.split_once(": ") {
        Some((name, rest)) if name.chars().all(|c| c.is_ascii_alphanumeric()) => {
            (name.to_owned(), rest.trim())
        }
        _ => (String::new(), text),
    };
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let words = || rest.split_whitespace().map(str::to_owned);
    let action = match word {
        "receive" => Action::Receive,
        "close" => Action::Close,
        "wait" => Action::Wait(rest.trim().parse().map_err(|_| format!("{rest} are no milliseconds"))?),
        "send" => Action::Send(question(rest)?),
        "let" => {
            let (name, value) = rest.split_once('=').ok_or("let name = value")?;
            Action::Let(name.trim().to_owned(), value.trim().to_owned())
        }
        "topic" => {
            let (name, partitions) =
                (words().next().ok_or("no topic")?, words().nth(1).unwrap_or("1".into()));
            let configs = words().skip(2).map(|word| {
                let (key, value) = word.split_once('=').ok_or(format!("{word} is no config"))?;
                Ok((key.to_owned(), value.to_owned()))
            });
            Action::Topic(name, partitions, configs.collect::<Result<_, String>>()?)
        }
        "produce" => {
            let (topic, partition) =
                (words().next().ok_or("no topic")?, words().nth(1).ok_or("no partition")?);
            Action::Produce(topic, partition, words().skip(2).collect())
        }
        _ => Action::Ask(question(text)?),
    };
    Ok(Step { line, connection, action })
}

fn question(text: &str) -> Result<Question, String> {
    let (mut compared, mut patient, mut until) = (true, false, None);
    let mut rest = text.trim();
    loop {
        if let Some(after) = rest.strip_prefix("- ") {
            (compared, rest) = (false, after);
        } else if let Some(after) = rest.strip_prefix("+ ") {
            (patient, rest) = (true, after);
        } else if let Some(after) = rest.strip_prefix("until ") {
            let (condition, after) = after.split_once(' ').ok_or("until path=value Api…")?;
            let (path, value) = condition.split_once('=').ok_or("until path=value Api…")?;
            (until, rest) = (Some((path.to_owned(), value.to_owned())), after);
        } else {
            break;
        }
        rest = rest.trim();
    }
    let (rest, binds) = match rest.split_once(" -> ") {
        None => (rest, Vec::new()),
        Some((rest, binds)) => {
            let binds = binds.split(',').map(|bind| {
                let (name, path) = bind.split_once('=').ok_or(format!("{bind} is no name=path"))?;
                Ok((name.trim().to_owned(), path.trim().to_owned()))
            });
            (rest, binds.collect::<Result<_, String>>()?)
        }
    };
    let (name, rest) = rest.split_once('@').ok_or_else(|| format!("no step: {text}"))?;
    let (versions, body) = rest.split_once(' ').unwrap_or((rest, "{}"));
    let api = api(name).ok_or_else(|| format!("no API {name}"))?;
    Ok(Question {
        api,
        versions: versions.to_owned(),
        body: body.trim().to_owned(),
        compared,
        patient,
        until,
        binds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_heads_and_steps() {
        let text = "# c\n== one | Fetch low,high | alone\ntopic %t 2 a=b\nb: - + Fetch@$v {topics: [\n]} -> x=a.0, y=b\n== two | with a=b\nwait 5\n";
        let all = parse("f.txt", text, |_| Some((4, 18))).unwrap();
        let names: Vec<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names, ["f/one @4", "f/one @18", "f/two"]);
        assert!(all[0].alone && all[0].version == Some(4));
        assert_eq!((&all[0].with, all[2].with.as_deref()), (&None, Some("a=b")));
        let Action::Ask(question) = &all[0].steps[1].action else { panic!("{:?}", all[0].steps[1]) };
        assert_eq!(all[0].steps[1].connection, "b");
        assert!(!question.compared && question.patient);
        assert_eq!(question.binds.len(), 2);
        assert!(parse("f.txt", "wait 5", |_| None).unwrap_err().starts_with("f.txt:1"));
    }

    #[test]
    fn reads_lists_of_versions() {
        assert_eq!(versions("low,3..4,high", (0, 6)).unwrap(), [0, 3, 4, 6]);
        assert_eq!(versions("all", (1, 2)).unwrap(), [1, 2]);
        assert!(versions("x", (1, 2)).is_err());
    }
}
