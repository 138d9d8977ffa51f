//! Asks Quipu and a real Apache Kafka 4.3.1 the same questions and compares the answers.
//!
//! ```text
//! cargo run -p quipu-differential -- --quipu target/fast/quipu
//! cargo run -p quipu-differential -- 'fetch/*'                      only these scenarios
//! cargo run -p quipu-differential -- --kafka 127.0.0.1:9092 --print brokers that already run, and what they answer
//! cargo run -p quipu-differential -- --plant 3=5                    pretend that Quipu answers 5 for 3: must fail
//! ```
//!
//! What is asked: `scenarios/*.txt` (their form: [`script`]). Which differences are meant: `differences.txt`; a row
//! there that explains nothing any more fails the run, too. So does an API that both brokers announce and that no
//! scenario asks in its lowest and its highest common version. What is masked because it must differ: [`transcript`].
//!
//! Scenarios that want brokers with a setting of their own are played last, on those; not on brokers that already run.
//!
//! A scenario with differences that are not known is played again, with more time for Kafka to spread what was changed
//! within itself; those that needed it are named.

mod batch;
mod brokers;
mod codec;
mod known;
mod play;
mod script;
mod transcript;
mod value;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quipu_protocol::ApiKey;

use play::{Ranges, Side, play};
use script::Scenario;
use transcript::{Difference, Transcript};

/// Time for Kafka to let a change act once its broker has seen it, at the first try and at the following ones.
const PATIENCE_MS: [u64; 3] = [0, 200, 1_500];

/// Scenarios at a time: most of them wait for Kafka.
const THREADS: usize = 6;

struct Arguments {
    quipu: PathBuf,
    kafka_at: Option<String>,
    quipu_at: Option<String>,
    planted: Option<(i64, i64)>,
    print: bool,
    only: Vec<String>,
}

fn arguments() -> Result<Arguments, String> {
    let mut parsed = Arguments {
        quipu: brokers::root().join("target/debug/quipu"),
        kafka_at: None,
        quipu_at: None,
        planted: None,
        print: false,
        only: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--quipu" => parsed.quipu = next()?.into(),
            "--kafka" => parsed.kafka_at = Some(next()?),
            "--quipu-at" => parsed.quipu_at = Some(next()?),
            "--print" => parsed.print = true,
            "--plant" => {
                let codes = next()?;
                let (from, to) = codes.split_once('=').ok_or("--plant FROM=TO")?;
                let number = |text: &str| text.parse::<i64>().map_err(|_| format!("{text} is no code"));
                parsed.planted = Some((number(from)?, number(to)?));
            }
            _ if word.starts_with("--") => return Err(format!("no option {word}")),
            _ => parsed.only.push(word),
        }
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("differential: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What came of one scenario.
struct Outcome {
    name: String,
    error: Option<String>,
    differences: Vec<Difference>,
    tries: usize,
    covered: BTreeMap<(ApiKey, i16), usize>,
}

fn run() -> Result<bool, String> {
    let arguments = arguments()?;
    let began = Instant::now();
    let pair = Pair::start(&arguments, None)?;
    println!("both brokers answer after {:.1} s", began.elapsed().as_secs_f64());

    let common = &pair.common;
    let mut scenarios = scenarios(common, &arguments.only)?;
    if arguments.kafka_at.is_some() || arguments.quipu_at.is_some() {
        scenarios.retain(|scenario| scenario.with.is_none());
    }
    let unique = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let known_text = fs::read_to_string(here("differences.txt")).map_err(|error| error.to_string())?;
    let known = Mutex::new(known::parse(&known_text)?);
    let outcomes = Mutex::new(Vec::new());
    let game = |index: usize, scenario: &Scenario, pair: &Pair| {
        let outcome =
            compare(index, scenario, &pair.kafka, &pair.quipu, common, unique, arguments.print, &known);
        outcomes.lock().unwrap_or_else(|error| error.into_inner()).push(outcome);
    };
    let (elsewhere, here): (Vec<_>, Vec<_>) =
        scenarios.iter().enumerate().partition(|(_, scenario)| scenario.with.is_some());
    let (alone, together): (Vec<_>, Vec<_>) = here.into_iter().partition(|(_, scenario)| scenario.alone);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..if arguments.print { 1 } else { THREADS } {
            scope.spawn(|| {
                while let Some((index, scenario)) = together.get(next.fetch_add(1, Ordering::Relaxed)) {
                    game(*index, scenario, &pair);
                }
            });
        }
    });
    for (index, scenario) in alone {
        game(index, scenario, &pair);
    }
    let ours = pair.ours.clone();
    let mut by_setting: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (index, scenario) in elsewhere {
        by_setting.entry(scenario.with.as_deref()).or_default().push((index, scenario));
    }
    for (with, scenarios) in by_setting {
        let pair = Pair::start(&arguments, with)?;
        for (index, scenario) in scenarios {
            game(index, scenario, &pair);
        }
    }
    let known = known.into_inner().unwrap_or_else(|error| error.into_inner());
    let outcomes = outcomes.into_inner().unwrap_or_else(|error| error.into_inner());
    let partial = !arguments.only.is_empty();
    Ok(report(outcomes, &known, &ours, common, partial, began))
}

/// Two brokers that have been told the same. They end when it is dropped.
struct Pair {
    kafka: Side,
    quipu: Side,
    /// What Quipu announces, and what both do.
    ours: Ranges,
    common: Ranges,
    _started: (Option<brokers::Broker>, Option<brokers::Broker>),
    _folder: tempfile::TempDir,
}

impl Pair {
    fn start(arguments: &Arguments, with: Option<&str>) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (kafka, quipu) = std::thread::scope(|scope| {
            let kafka = scope.spawn(|| match &arguments.kafka_at {
                Some(address) => Ok((address.clone(), None)),
                None => {
                    brokers::kafka(folder.path(), with).map(|broker| (broker.address.clone(), Some(broker)))
                }
            });
            let quipu = match &arguments.quipu_at {
                Some(address) => Ok((address.clone(), None)),
                None => brokers::quipu(&arguments.quipu, folder.path(), with)
                    .map(|broker| (broker.address.clone(), Some(broker))),
            };
            (kafka.join().unwrap_or_else(|_| Err("the thread that starts Kafka panicked".into())), quipu)
        });
        let ((kafka_at, kafka), (quipu_at, quipu)) = (kafka?, quipu?);
        let started = (kafka, quipu);
        let kafka = Side { address: kafka_at, planted: None };
        let quipu = Side { address: quipu_at, planted: arguments.planted };
        let (theirs, ours) = (announced(&kafka)?, announced(&quipu)?);
        let common = common(&theirs, &ours);
        for side in [&kafka, &quipu] {
            warm_up(side, &common)?;
        }
        Ok(Self { kafka, quipu, ours, common, _started: started, _folder: folder })
    }
}

fn here(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn scenarios(common: &Ranges, only: &[String]) -> Result<Vec<Scenario>, String> {
    let mut files: Vec<PathBuf> = fs::read_dir(here("scenarios"))
        .map_err(|error| error.to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.extend(script::parse(&name, &text, |api| common.get(&api).copied())?);
    }
    all.retain(|scenario| {
        only.is_empty() || only.iter().any(|pattern| known::matches(pattern, &scenario.name))
    });
    let mut names: Vec<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two scenarios are called {}", pair[0])),
        None if names.is_empty() => Err("no such scenario".into()),
        None => Ok(all),
    }
}

/// The versions that a broker announces, of the APIs that we know.
fn announced(side: &Side) -> Result<Ranges, String> {
    let text = "== versions\nApiVersions@3 {clientSoftwareName: differential, clientSoftwareVersion: 1}\n";
    let ranges = Ranges::from([(ApiKey::ApiVersions, (0, 3))]);
    let scenario = script::parse("start.txt", text, |_| None)?.remove(0);
    let answer = play::answers(&scenario, side, &ranges)?.pop().ok_or("no answer to ApiVersions")?;
    let Some(value::Value::List(rows)) = answer.get("apiKeys") else { return Err("no list of APIs".into()) };
    let int = |row: &value::Value, name: &str| match row.get(name) {
        Some(value::Value::Int(number)) => *number as i16,
        _ => -1,
    };
    let known = |row| {
        Some((ApiKey::try_from(int(row, "apiKey")).ok()?, (int(row, "minVersion"), int(row, "maxVersion"))))
    };
    Ok(rows.iter().filter_map(known).collect())
}

fn common(theirs: &Ranges, ours: &Ranges) -> Ranges {
    let both = ours.iter().filter_map(|(api, ours)| {
        let theirs = theirs.get(api)?;
        // Produce is announced from 0 for old clients, and served from its first declared version.
        let low = ours.0.max(theirs.0).max(*api.versions().start());
        Some((*api, (low, ours.1.min(theirs.1))))
    });
    both.collect()
}

/// Has the coordinators create what they keep their state in.
fn warm_up(side: &Side, ranges: &Ranges) -> Result<(), String> {
    let text = "== warm up
        + FindCoordinator@4 {keyType: 0, coordinatorKeys: [warm]}
        + OffsetFetch@8 {groups: [{groupId: warm, topics: null}]}
        + FindCoordinator@4 {keyType: 1, coordinatorKeys: [warm]}
        + InitProducerId@4 {transactionalId: warm, transactionTimeoutMs: 10000}\n";
    let scenario = script::parse("start.txt", text, |_| None)?.remove(0);
    play::answers(&scenario, side, ranges).map(drop)
}

#[allow(clippy::too_many_arguments)]
fn compare(
    index: usize,
    scenario: &Scenario,
    kafka: &Side,
    quipu: &Side,
    common: &Ranges,
    unique: u64,
    print: bool,
    known: &Mutex<Vec<known::Known>>,
) -> Outcome {
    let mut outcome = Outcome {
        name: scenario.name.clone(),
        error: None,
        differences: Vec::new(),
        tries: 0,
        covered: BTreeMap::new(),
    };
    for (attempt, patience) in PATIENCE_MS.into_iter().enumerate() {
        outcome.tries += 1;
        let prefix = transcript::prefix(unique, index, attempt);
        let patience = Duration::from_millis(patience);
        let (theirs, ours) = std::thread::scope(|scope| {
            let theirs = scope.spawn(|| play(scenario, kafka, common, &prefix, patience));
            let ours = play(scenario, quipu, common, &prefix, patience);
            (theirs.join().unwrap_or_else(|_| Err("the player of Kafka's side panicked".into())), ours)
        });
        let (theirs, ours) = match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => (theirs, ours),
            (theirs, ours) => {
                let side = |name: &str, error: Option<String>| error.map(|error| format!("{name}: {error}"));
                let errors = [side("Kafka", theirs.err()), side("Quipu", ours.err())];
                outcome.error = Some(errors.into_iter().flatten().collect::<Vec<_>>().join("\n"));
                continue;
            }
        };
        outcome.error = None;
        outcome.covered = theirs.covered;
        let found = Transcript::differences(&theirs.transcript, &ours.transcript);
        if print {
            println!("  {} (Kafka)", scenario.name);
            theirs.transcript.print();
        }
        let mut known = known.lock().unwrap_or_else(|error| error.into_inner());
        let explained =
            |difference: &Difference| known.iter().position(|row| row.explains(&scenario.name, difference));
        let rows: Vec<Option<usize>> = found.iter().map(explained).collect();
        if rows.iter().all(Option::is_some) || attempt + 1 == PATIENCE_MS.len() {
            for row in rows.iter().flatten() {
                known[*row].used += 1;
            }
        }
        outcome.differences = found
            .into_iter()
            .zip(rows)
            .filter(|(_, row)| row.is_none())
            .map(|(difference, _)| difference)
            .collect();
        if outcome.differences.is_empty() {
            break;
        }
    }
    outcome
}

/// Tier 2 and what no client asks: not held to have scenarios yet.
fn is_later(api: ApiKey) -> bool {
    matches!(api.key(), 34 | 38..=41 | 64 | 71 | 72 | 76..=81 | 88..=93)
}

fn report(
    mut outcomes: Vec<Outcome>,
    known: &[known::Known],
    ours: &Ranges,
    common: &Ranges,
    partial: bool,
    began: Instant,
) -> bool {
    outcomes.sort_by(|one, other| one.name.cmp(&other.name));
    let mut covered: BTreeMap<(ApiKey, i16), usize> = BTreeMap::new();
    let (mut failed, mut faults) = (0, 0);
    let mut failures: BTreeMap<String, Vec<(String, Vec<String>)>> = BTreeMap::new();
    for outcome in &outcomes {
        for (key, count) in &outcome.covered {
            *covered.entry(*key).or_default() += count;
        }
        if outcome.error.is_none() && outcome.differences.is_empty() {
            if outcome.tries > 1 {
                println!("{}: equal at try {}", outcome.name, outcome.tries);
            }
            continue;
        }
        failed += 1;
        let (title, version) = outcome.name.split_once(" @").unwrap_or((&outcome.name, ""));
        let lines = failures.entry(title.to_owned()).or_default();
        let mut add = |line: String| match lines.iter_mut().find(|(known, _)| *known == line) {
            Some((_, versions)) => versions.push(version.to_owned()),
            None => lines.push((line, vec![version.to_owned()])),
        };
        outcome.error.iter().flat_map(|error| error.lines()).for_each(|line| add(line.to_owned()));
        for difference in &outcome.differences {
            let Difference { label, number, path, kafka, quipu } = difference;
            let label = if version.is_empty() { label } else { label.split('@').next().unwrap_or_default() };
            add(format!("{number}. {label} {path}: Kafka {kafka}, Quipu {quipu}"));
        }
    }
    for (title, lines) in &failures {
        println!("{title}: FAILED");
        for (line, versions) in lines {
            let versions = versions.join(",");
            println!("  {line}{}", if versions.is_empty() { versions } else { format!("  [{versions}]") });
        }
    }
    if !partial {
        println!("answers compared, by API and version:");
        for (api, range) in common {
            let counts: Vec<String> = (range.0..=range.1)
                .map(|version| format!("{version}:{}", covered.get(&(*api, version)).copied().unwrap_or(0)))
                .collect();
            println!("  {:28} {}", api.name(), counts.join(" "));
            let missing =
                [range.0, range.1].into_iter().find(|version| !covered.contains_key(&(*api, *version)));
            if let Some(version) = missing.filter(|_| !is_later(*api)) {
                println!("{} is announced, and no scenario asks it in version {version}", api.name());
                faults += 1;
            }
        }
        for api in ours.keys().filter(|api| !common.contains_key(api)) {
            println!("  {:28} not served by Kafka 4.3.1", api.name());
        }
        for row in known.iter().filter(|row| row.used == 0) {
            println!(
                "differences.txt:{}: {} | {} | {} occurs no more, strike it off ({})",
                row.line, row.scenario, row.question, row.path, row.reason
            );
            faults += 1;
        }
    }
    let answers: usize = covered.values().sum();
    let titles: std::collections::BTreeSet<&str> =
        outcomes.iter().map(|outcome| outcome.name.split(" @").next().unwrap_or_default()).collect();
    println!(
        "{} scenarios, {} with their versions, {answers} answers, {} known differences, {:.0} s",
        titles.len(),
        outcomes.len(),
        known.len(),
        began.elapsed().as_secs_f64()
    );
    println!("{} passed, {} failed", outcomes.len() - failed, failed + faults);
    failed + faults == 0
}
