//! The declarations against the schemas that travel inside Kafka's Java client 4.4.0.

use crate::codec::{self, Codec};
use quipu_protocol::schema::{DefaultValue, FieldSchema, FieldType, MessageKind, StructSchema, Versions};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// APIs on the broker's listener that no client sends or that are not served, and why.
const NOT_DECLARED: &[(i64, &str)] = &[
    (83, "InitializeShareGroupState: between brokers"),
    (84, "ReadShareGroupState: between brokers"),
    (85, "WriteShareGroupState: between brokers"),
    (86, "DeleteShareGroupState: between brokers"),
    (87, "ReadShareGroupStateSummary: between brokers"),
    (94, "UnregisterController: outside the coverage goal"),
];

/// The schema files by the name of their message.
fn kafka_schemas() -> BTreeMap<String, Value> {
    let directory = crate::kafka_jars().join("common/message");
    let files = std::fs::read_dir(directory).expect("the schemas are there");
    let paths = files.map(|file| file.expect("a readable directory").path());
    let schemas = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    schemas.map(|path| read_schema(&path)).collect()
}

fn read_schema(path: &Path) -> (String, Value) {
    let text = std::fs::read_to_string(path).expect("a readable schema");
    let schema: Value = serde_json::from_str(&without_comments(&text))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (schema["name"].as_str().unwrap_or_default().to_owned(), schema)
}

/// Kafka's schemas are JSON with line comments.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let (mut in_string, mut escaped) = (false, false);
        let mut end = line.len();
        for (position, letter) in line.char_indices() {
            match letter {
                '/' if !in_string && line[position..].starts_with("//") => {
                    end = position;
                    break;
                }
                '"' if !escaped => in_string = !in_string,
                _ => {}
            }
            escaped = letter == '\\' && !escaped;
        }
        out.push_str(&line[..end]);
        out.push('\n');
    }
    out
}

fn versions(text: &str) -> Option<Versions> {
    let number = |text: &str| text.parse::<i16>().expect("a version");
    match text {
        "" | "none" => None,
        _ if text.ends_with('+') => {
            Some(Versions { first: number(text.trim_end_matches('+')), last: i16::MAX })
        }
        _ => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some(Versions { first: number(first), last: number(last) })
        }
    }
}

fn text<'a>(map: &'a Map<String, Value>, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn type_name(ty: &FieldType) -> String {
    match ty {
        FieldType::Bool => "bool".into(),
        FieldType::Int8 => "int8".into(),
        FieldType::Int16 => "int16".into(),
        FieldType::Uint16 => "uint16".into(),
        FieldType::Int32 => "int32".into(),
        FieldType::Uint32 => "uint32".into(),
        FieldType::Int64 => "int64".into(),
        FieldType::Float64 => "float64".into(),
        FieldType::Uuid => "uuid".into(),
        FieldType::String => "string".into(),
        FieldType::Bytes => "bytes".into(),
        FieldType::Records => "records".into(),
        FieldType::Struct(schema) => schema.name.into(),
        FieldType::Array(element) => format!("[]{}", type_name(element)),
    }
}

/// A default in one spelling for both sides.
fn default_of_kafka(field: &Map<String, Value>) -> String {
    let value = match field.get("default") {
        None => return "zero".into(),
        Some(Value::String(value)) => value.clone(),
        Some(value) => value.to_string(),
    };
    let number = match value.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => value.parse().ok(),
    };
    match (&value[..], number) {
        ("" | "false", _) | (_, Some(0)) => "zero".into(),
        (_, Some(number)) => number.to_string(),
        _ => value,
    }
}

fn default_of_ours(field: &FieldSchema) -> String {
    match field.default {
        DefaultValue::Zero | DefaultValue::Int(0) | DefaultValue::Bool(false) => "zero".into(),
        DefaultValue::Null => "null".into(),
        DefaultValue::Int(value) => value.to_string(),
        DefaultValue::Bool(value) => value.to_string(),
        DefaultValue::Str(value) => value.into(),
    }
}

struct Comparison<'a> {
    common: BTreeMap<&'a str, &'a Vec<Value>>,
    differences: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn message(&mut self, codec: &Codec, kafka: &'a Value) {
        let map = kafka.as_object().expect("an object");
        let kind = match codec.kind {
            MessageKind::Request => "request",
            MessageKind::Response => "response",
            MessageKind::Header => "header",
            MessageKind::Data => "data",
        };
        let label = codec.name;
        self.equal(label, "type", kind, text(map, "type"));
        self.equal(label, "apiKey", codec.key.map(i64::from), map.get("apiKey").and_then(Value::as_i64));
        let range = Versions { first: *codec.versions.start(), last: *codec.versions.end() };
        self.equal(label, "validVersions", Some(range), versions(text(map, "validVersions")));
        let flexible = codec.flexible.map(|first| Versions { first, last: i16::MAX });
        self.equal(label, "flexibleVersions", flexible, versions(text(map, "flexibleVersions")));
        let unstable = map.get("latestVersionUnstable").and_then(Value::as_bool).unwrap_or_default();
        self.equal(label, "latestVersionUnstable", codec.latest_unstable, unstable);

        self.common.clear();
        for part in map.get("commonStructs").and_then(Value::as_array).into_iter().flatten() {
            self.common
                .insert(part["name"].as_str().expect("a name"), part["fields"].as_array().expect("fields"));
        }
        self.fields(label, codec.schema, map["fields"].as_array().expect("fields"));
    }

    fn fields(&mut self, label: &str, ours: &StructSchema, kafka: &'a [Value]) {
        let names = |fields: &[Value]| -> Vec<String> {
            fields.iter().map(|field| field["name"].as_str().unwrap_or_default().to_owned()).collect()
        };
        let our_names: Vec<_> = ours.fields.iter().map(|field| field.name.to_owned()).collect();
        if !self.equal(label, "fields", our_names, names(kafka)) {
            return;
        }
        for (ours, kafka) in ours.fields.iter().zip(kafka) {
            self.field(&format!("{label}.{}", ours.name), ours, kafka.as_object().expect("an object"));
        }
    }

    fn field(&mut self, label: &str, ours: &FieldSchema, kafka: &'a Map<String, Value>) {
        self.equal(label, "type", &type_name(&ours.ty)[..], text(kafka, "type"));
        self.equal(label, "versions", Some(ours.versions), versions(text(kafka, "versions")));
        self.equal(label, "nullableVersions", ours.nullable, versions(text(kafka, "nullableVersions")));
        let tag = kafka.get("tag").and_then(Value::as_u64);
        self.equal(label, "tag", ours.tag.map(|(tag, _)| u64::from(tag)), tag);
        let tagged = ours.tag.map(|(_, versions)| versions);
        self.equal(label, "taggedVersions", tagged, versions(text(kafka, "taggedVersions")));
        self.equal(label, "flexibleVersions", ours.never_flexible, text(kafka, "flexibleVersions") == "none");
        self.equal(label, "default", default_of_ours(ours), default_of_kafka(kafka));

        let mut ty = ours.ty;
        while let FieldType::Array(element) = ty {
            ty = *element;
        }
        if let FieldType::Struct(part) = ty {
            let own = kafka.get("fields").and_then(Value::as_array);
            match own.or_else(|| self.common.get(part.name).copied()) {
                Some(fields) => self.fields(label, part, fields),
                None => self.differences.push(format!("{label}: {} is no struct of Kafka's", part.name)),
            }
        }
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, label: &str, what: &str, ours: T, kafka: T) -> bool {
        let equal = ours == kafka;
        if !equal {
            self.differences.push(format!("{label}: {what} is {ours:?}, Kafka has {kafka:?}"));
        }
        equal
    }
}

#[test]
fn declarations_are_those_of_kafka() {
    let schemas = kafka_schemas();
    let mut comparison = Comparison { common: BTreeMap::new(), differences: Vec::new() };
    for codec in codec::all() {
        comparison
            .message(&codec, schemas.get(codec.name).unwrap_or_else(|| panic!("{} is new", codec.name)));
    }
    assert!(comparison.differences.is_empty(), "{:#?}", comparison.differences);
}

#[test]
fn every_api_of_a_client_is_declared() {
    let schemas = kafka_schemas();
    let of_brokers = schemas.values().filter(|schema| {
        let listeners = schema["listeners"].as_array();
        schema["type"] == "request"
            && schema["validVersions"] != "none"
            && listeners.is_some_and(|listeners| listeners.iter().any(|listener| listener == "broker"))
    });
    let mut theirs: BTreeSet<i64> = of_brokers.filter_map(|schema| schema["apiKey"].as_i64()).collect();
    for (key, name) in NOT_DECLARED {
        assert!(theirs.remove(key), "{name} is not on the broker's listener any more");
    }
    let ours: BTreeSet<i64> = quipu_protocol::ApiKey::ALL.iter().map(|api| api.key().into()).collect();
    assert_eq!(ours, theirs);
}

#[test]
fn comments_end_with_their_line() {
    assert_eq!(without_comments("a // b\n\"//\" c\n\"\\\"//\" // d"), "a \n\"//\" c\n\"\\\"//\" \n");
}
