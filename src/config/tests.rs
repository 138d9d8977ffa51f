//! The way of a value from its source to the broker.

use super::*;
use std::io::Write;
use std::path::Path;

fn overrides(arguments: &[&str]) -> Sources {
    Sources {
        overrides: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        ..Sources::default()
    }
}

fn environment(variables: &[(&str, &str)]) -> Sources {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Sources { environment: variables.iter().map(own).collect(), ..Sources::default() }
}

fn file(text: &str) -> (tempfile::NamedTempFile, Sources) {
    let mut file = tempfile::NamedTempFile::with_suffix(".properties").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let sources = Sources { files: vec![file.path().to_owned()], ..Sources::default() };
    (file, sources)
}

fn load(sources: Sources) -> (Config, Vec<String>) {
    match Config::load(sources) {
        Ok((config, warnings)) => (config, warnings.iter().map(Warning::to_string).collect()),
        Err(errors) => panic!("{errors}"),
    }
}

fn refusal(sources: Sources) -> Vec<String> {
    match Config::load(sources) {
        Ok(_) => panic!("nothing was refused"),
        Err(errors) => errors.0.iter().map(ConfigError::to_string).collect(),
    }
}

#[test]
fn defaults_are_usable_as_they_are() {
    let (config, warnings) = load(Sources::default());
    let settings = config.settings();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(
        settings.listeners.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["PLAINTEXT://127.0.0.1:9092"]
    );
    assert!(settings.advertised_listeners.is_empty());
    assert_eq!((settings.node_id, settings.topics.partitions, settings.topics.auto_create), (0, 1, true));
    assert_eq!(settings.groups.initial_rebalance_delay_ms, 0);
    assert_eq!((settings.offsets.topic_partitions, settings.transactions.topic_partitions), (1, 1));
    assert_eq!(settings.data_dir, Path::new("./quipu-data"));
    assert_eq!(settings.topic_defaults.durability, Durability::Sync);
    assert!(settings.network.threads >= 1);
}

#[test]
fn the_stronger_source_wins_and_is_named() {
    let (file, mut sources) = file("num.partitions=2\nnode.id=7\nnum.partitions=3\nlog.dirs=/one\n");
    sources.environment =
        vec![("KAFKA_NODE_ID".into(), "8".into()), ("KAFKA_LOG_SEGMENT_BYTES".into(), "2000000".into())];
    sources.overrides =
        vec!["log.segment.bytes=3000000".into(), "log.dirs=/two".into(), "log.dirs=/three".into()];
    sources.flags = vec![("--data-dir", "log.dirs".into(), "/four".into())];
    let (config, warnings) = load(sources);
    assert_eq!(warnings, [""; 0]);
    let settings = config.settings();
    assert_eq!((settings.topics.partitions, settings.node_id), (3, 8));
    assert_eq!(settings.topic_defaults.segment_bytes, 3_000_000);
    assert_eq!(settings.data_dir, Path::new("/four"));
    assert_eq!(config.origin("num.partitions"), Origin::File { path: file.path().into(), line: 3 });
    assert_eq!(config.origin("node.id"), Origin::Environment("KAFKA_NODE_ID".into()));
    assert_eq!(config.origin("log.segment.bytes"), Origin::Override);
    assert_eq!(config.origin("log.dirs"), Origin::Flag("--data-dir"));
    assert_eq!(config.origin("num.io.threads"), Origin::Default);
}

#[test]
fn wrong_values_are_told_all_at_once_with_place_and_cure() {
    let (file, mut sources) = file("# comment\nnum.partitions=many\nauto.create.topics.enable=yes\n");
    sources.overrides = vec!["compression.type=brotli".into(), "nonsense".into()];
    let path = file.path().display();
    let mut told = refusal(sources);
    told.sort();
    let mut expected = vec![
        format!(r#"{path}:2: num.partitions = "many": expected a whole number of at least 1 (32 bits), for example num.partitions=1"#),
        format!(r#"{path}:3: auto.create.topics.enable = "yes": expected true or false, for example auto.create.topics.enable=true"#),
        r#"--override: compression.type = "brotli": expected one of uncompressed, zstd, lz4, snappy, gzip, producer, for example compression.type=producer"#.to_owned(),
        "--override nonsense: expected key=value, for example num.partitions=3".to_owned(),
    ];
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn unknown_keys_are_harmless_unless_they_look_like_security() {
    let (config, warnings) = load(overrides(&[
        "log.retentoin.ms=5",
        "my.own.key=1",
        "retention.ms=5",
        "zookeeper.connect=z:2181",
    ]));
    assert_eq!(
        warnings,
        [
            "--override: unknown key log.retentoin.ms has no effect; did you mean log.retention.ms?",
            "--override: unknown key my.own.key has no effect",
            "--override: unknown key retention.ms has no effect; did you mean log.retention.ms?",
            "--override: zookeeper.connect has no effect since Kafka 4.0; there is no ZooKeeper any more; remove it",
        ]
    );
    assert_eq!(config.layers().given["my.own.key"].value, "1");
    for (key, nearest) in [
        ("ssl.keystore.pasword", Some("ssl.keystore.password")),
        ("sasl.enabled.mechanism", Some("sasl.enabled.mechanisms")),
        ("supper.users", Some("super.users")),
        ("super.user", Some("super.users")),
        ("authoriser.class.name", Some("authorizer.class.name")),
        ("listener.name.external.ssl.client.atuh", None),
        ("allow.everyone", None),
    ] {
        let told = refusal(overrides(&[&format!("{key}=x")]));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("--override: {key} is not a known security key")), "{told:?}");
        if let Some(nearest) = nearest {
            assert!(told[0].ends_with(&format!("did you mean {nearest}?")), "{told:?}");
        }
    }
}

#[test]
fn secrets_stay_out_of_messages() {
    let (_, warnings) = load(overrides(&["ssl.keystore.password=hush", "my.password=hush"]));
    assert!(warnings.iter().all(|warning| !warning.contains("hush")));
    let told = refusal(overrides(&["ssl.keystore.passwort=hush"]));
    assert!(told.iter().all(|error| !error.contains("hush")), "{told:?}");
}

#[test]
fn keys_of_one_listener_are_known_by_their_base() {
    let (_, warnings) = load(overrides(&[
        "listener.name.plaintext.max.connections=5",
        "listener.name.external.scram-sha-256.sasl.jaas.config=x",
        "listener.name.external.ssl.client.auth=required",
    ]));
    assert_eq!(warnings, [""; 0]);
    assert_eq!(
        refusal(overrides(&["listener.name.plaintext.max.connections=few"])),
        [
            r#"--override: listener.name.plaintext.max.connections = "few": expected a whole number of at least 0 (32 bits), for example listener.name.plaintext.max.connections=2147483647"#
        ]
    );
}

#[test]
fn a_properties_file_of_kafka_works_as_it_is() {
    let (_file, sources) = file(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:10092\n\
         listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:10092\n\
         advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:10092\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL\n\
         num.network.threads=3\n\
         num.io.threads=8\n\
         socket.send.buffer.bytes=102400\n\
         log.dirs=/tmp/kraft-combined-logs\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         log.retention.hours=168\n\
         log.segment.bytes=1073741824\n\
         log.retention.check.interval.ms=300000\n",
    );
    let (config, warnings) = load(sources);
    assert_eq!(warnings, [""; 0]);
    let settings = config.settings();
    let addresses =
        |listeners: &[Listener]| listeners.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    assert_eq!(addresses(&settings.listeners), "PLAINTEXT://127.0.0.1:9092");
    assert_eq!(addresses(&settings.advertised_listeners), "PLAINTEXT://localhost:9092");
    assert_eq!((settings.node_id, settings.network.threads), (1, 3));
}

#[test]
fn the_environment_of_the_image_works_as_it_is() {
    let (config, warnings) = load(environment(&[
        ("KAFKA_NODE_ID", "1"),
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        ("KAFKA_LISTENERS", "HOST://:19092,CONTAINER://0.0.0.0:29092,CONTROLLER://localhost:9093"),
        ("KAFKA_ADVERTISED_LISTENERS", "HOST://localhost:19092,CONTAINER://kafka:29092"),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "CONTROLLER:PLAINTEXT,HOST:PLAINTEXT,CONTAINER:PLAINTEXT"),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
        ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
        ("KAFKA_HEAP_OPTS", "-Xmx1G"),
        ("CLUSTER_ID", "5L6g3nShT-eMCtK--X86sw"),
        ("PATH", "/bin"),
    ]));
    assert_eq!(warnings, [""; 0]);
    let settings = config.settings();
    assert_eq!(settings.listeners.len(), 2);
    assert_eq!((settings.listeners[0].host.as_str(), settings.listeners[1].port), ("", 29092));
    assert_eq!(settings.cluster_id.as_deref(), Some("5L6g3nShT-eMCtK--X86sw"));
}

#[test]
fn advertised_listeners_alone_open_listeners_as_the_image_does() {
    let (config, _) = load(environment(&[("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://broker:9092")]));
    assert_eq!(config.settings().listeners[0].to_string(), "PLAINTEXT://0.0.0.0:9092");
    // Not so from a file: there Kafka listens at its default.
    let (config, _) = load(overrides(&["advertised.listeners=PLAINTEXT://broker:9092"]));
    assert_eq!(config.settings().listeners[0].to_string(), "PLAINTEXT://127.0.0.1:9092");
}

#[test]
fn listeners_that_cannot_be_opened_are_refused() {
    for (arguments, part) in [
        (&["listeners=localhost:9092"][..], "is not NAME://host:port"),
        (&["listeners=SSL://:9093"], "asks for SSL"),
        (&["listeners=OUT://:9093"], "add OUT:PLAINTEXT to listener.security.protocol.map"),
        (&["listeners="], "names no listener"),
        (&["listeners=PLAINTEXT://:1,plaintext://:2"], "twice"),
        (
            &[
                "listeners=PLAINTEXT://:1,B://:1",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,B:PLAINTEXT",
            ],
            "of another listener",
        ),
        (&["advertised.listeners=PLAINTEXT://0.0.0.0:9092"], "clients cannot connect to 0.0.0.0"),
        (&["advertised.listeners=SSL://x:9092"], "asks for SSL"),
        (&["listener.security.protocol.map=PLAINTEXT"], "is not NAME:PROTOCOL"),
    ] {
        let told = refusal(overrides(arguments));
        assert!(told.iter().any(|error| error.contains(part)), "{arguments:?}: {told:?}");
    }
}

#[test]
fn flags_need_neither_names_nor_lists() {
    let (config, warnings) = load(Sources {
        flags: vec![
            ("--listen", "listeners".into(), "PLAINTEXT://127.0.0.1:1,PLAINTEXT2://[::1]:2".into()),
            ("--data-dir", "log.dirs".into(), "/data,with a comma".into()),
        ],
        ..Sources::default()
    });
    assert_eq!(warnings, [""; 0]);
    assert_eq!(config.settings().listeners.len(), 2);
    assert_eq!(config.settings().data_dir, Path::new("/data,with a comma"));
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    for (arguments, part) in [
        (&["node.id=1", "broker.id=2"][..], "broker.id: 2 and node.id, which is 1, must be the same"),
        (&["group.min.session.timeout.ms=10000", "group.max.session.timeout.ms=9000"], "must not be below"),
        (
            &["group.min.session.timeout.ms=2000000"],
            "group.min.session.timeout.ms: 2000000 must not be above",
        ),
        (&["process.roles=controller"], "add broker"),
        (&["cluster.id=has blanks in it"], "cluster.id"),
        (&["max.connections.per.ip.overrides=127.0.0.1"], "is not address:count"),
        (
            &["authorizer.class.name=org.example.Authorizer"],
            "use org.apache.kafka.metadata.authorizer.StandardAuthorizer, or leave it empty",
        ),
        (
            &[
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users=User:a;b",
            ],
            "write User:b",
        ),
    ] {
        let told = refusal(overrides(arguments));
        assert_eq!(told.len(), 1, "{arguments:?}: {told:?}");
        assert!(told[0].contains(part), "{arguments:?}: {told:?}");
    }
}

#[test]
fn what_is_taken_otherwise_is_told() {
    let (config, warnings) = load(overrides(&["log.dirs=/a, /b"]));
    assert_eq!(config.settings().data_dir, Path::new("/a"));
    assert_eq!(warnings, ["--override: log.dirs: all data goes to the first of 2 directories, /a",]);
}

#[test]
fn the_old_name_of_the_id_still_works() {
    let (config, _) = load(overrides(&["broker.id=5"]));
    assert_eq!(config.settings().node_id, 5);
    assert_eq!(config.origin("node.id"), Origin::Override);
    let (config, _) = load(overrides(&["broker.id=-1"]));
    assert_eq!(config.settings().node_id, 0);
}

#[test]
fn limits_of_single_addresses_are_read() {
    let (config, _) = load(overrides(&["max.connections.per.ip.overrides=127.0.0.1:200, [::1]:100"]));
    let limits = &config.settings().network.max_connections_per_ip_overrides;
    assert_eq!(limits.get(&"127.0.0.1".parse().unwrap()), Some(&200));
    assert_eq!(limits.get(&"::1".parse().unwrap()), Some(&100));
}

#[test]
fn dynamic_values_take_effect_and_leave_listeners_alone() {
    let (config, _) = load(overrides(&["log.retention.ms=1"]));
    let set = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    config.set_dynamic(BrokerOverrides {
        default: set("log.retention.ms", "2"),
        node: set("listeners", "PLAINTEXT://:1"),
    });
    let settings = config.settings();
    assert_eq!(settings.topic_defaults.retention_ms, 2);
    assert_eq!(settings.listeners[0].port, 9092);
    assert_eq!(config.topic(&TopicOverrides::new()).retention_ms, 2);
}

#[test]
fn a_missing_file_and_a_malformed_one_are_named() {
    let missing = Sources { files: vec!["/nowhere/server.properties".into()], ..Sources::default() };
    assert!(refusal(missing)[0].starts_with("cannot read the properties file /nowhere/server.properties: "));
    let (file, sources) = file("a=1\nb=\\u12\n");
    assert_eq!(
        refusal(sources),
        [format!("{}:2: \\u must be followed by four hexadecimal digits", file.path().display())]
    );
}

/// The keys named in the documentation of fields of the settings, each with its field.
fn fields() -> Vec<(&'static str, &'static str)> {
    let mut fields = Vec::new();
    let mut key = None;
    for line in concat!(include_str!("settings.rs"), include_str!("topic_config.rs")).lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// `") {
            key = text.split('`').next().filter(|key| BROKER.get(key).or_else(|| TOPIC.get(key)).is_some());
        } else if let (Some(found), Some(field)) = (key, line.strip_prefix("pub ")) {
            key = None;
            fields.extend(field.split_once(':').map(|(field, _)| (found, field)));
        }
    }
    fields
}

/// All that is not configuration and serves: where a setting would be read.
fn other_sources(dir: &Path, found: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["config", "client", "cli"].contains(&name) {
            other_sources(&path, found);
        } else if name.ends_with(".rs") && !name.contains("tests") {
            found.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn documentation_says_truly_what_the_broker_acts_on() {
    // Fields with names that others have, too, or that another field stands for: a look at the text does not tell.
    const COMMON: &[&str] = &[
        "compression",
        "consumer",
        "data_dir",
        "delete",
        "flush_ms",
        "protocols",
        "share",
        "streams",
        "threads",
        "topic_partitions",
        "topic_segment_bytes",
    ];
    let mut sources = String::new();
    other_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    let is_read = |field: &str| {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        sources
            .match_indices(&format!(".{field}"))
            .any(|(at, found)| !sources[at + found.len()..].starts_with(word))
    };
    let fields = fields();
    assert!(fields.len() > 60, "{fields:?}");
    let mut wrong = Vec::new();
    for (key, field) in fields.into_iter().filter(|(_, field)| !COMMON.contains(field)) {
        for row in [BROKER.get(key), TOPIC.get(key)].into_iter().flatten() {
            if is_read(field) != (row.effect == keys::Effect::Acts) {
                wrong.push(format!(
                    "{key} is {:?}, and .{field} is {}read",
                    row.effect,
                    if is_read(field) { "" } else { "not " }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "correct acts() or not_yet() in src/config/keys:\n{}", wrong.join("\n"));
}
