//! Any request written and any answer read by its declared schema, so that a scenario can name every field.

use quipu_protocol::ApiKey;
use quipu_protocol::primitives::{Reader, Uuid, Writer};
use quipu_protocol::schema::{DefaultValue, FieldSchema, FieldType, StructSchema};

use crate::batch;
use crate::value::Value;

/// Whether the bodies of that version have compact lengths and tagged fields.
fn is_flexible(api: ApiKey, version: i16) -> bool {
    api.request_header_version(version) >= 2
}

/// `TopicId` as scenarios write it: `topicId`.
fn camel(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The body of a request. Fields that are left out have Kafka's default; fields that the version lacks are skipped.
pub fn encode_request(api: ApiKey, version: i16, body: &Value) -> Result<Vec<u8>, String> {
    let mut w = Writer::new();
    let flexible = is_flexible(api, version);
    write_struct(api.schemas().0, body, version, flexible, &mut w)?;
    Ok(w.into_bytes())
}

/// Reads the body of an answer to its last byte.
pub fn decode_response(api: ApiKey, version: i16, r: &mut Reader<'_>) -> Result<Value, String> {
    let flexible = is_flexible(api, version);
    let value = read_struct(api.schemas().1, version, flexible, r).map_err(|error| error.to_string())?;
    match r.remaining() {
        0 => Ok(value),
        left => Err(format!("{left} bytes left over behind {value:?}")),
    }
}

fn write_struct(
    schema: &StructSchema,
    value: &Value,
    version: i16,
    flexible: bool,
    w: &mut Writer,
) -> Result<(), String> {
    let Value::Map(given) = value else { return Err(format!("{value:?} is no {}", schema.name)) };
    if let Some((name, _)) =
        given.iter().find(|(name, _)| !schema.fields.iter().any(|f| camel(f.name) == *name))
    {
        return Err(format!("{} has no field {name}", schema.name));
    }
    let mut tags = Vec::new();
    for field in schema.fields.iter().filter(|field| field.versions.contains(version)) {
        let nullable = field.nullable.is_some_and(|versions| versions.contains(version));
        let value = value.get(&camel(field.name));
        let write = |value: &Value, flexible, w: &mut Writer| {
            write_value(&field.ty, value, nullable, version, flexible, w)
                .map_err(|error| format!("{}: {error}", field.name))
        };
        match (field.tag, value) {
            (Some((tag, versions)), value) if versions.contains(version) => {
                if let Some(value) = value {
                    let mut bytes = Writer::new();
                    write(value, flexible, &mut bytes)?;
                    tags.push((tag, bytes.into_bytes()));
                }
            }
            (_, Some(value)) => write(value, flexible && !field.never_flexible, w)?,
            (_, None) => write(&default(field), flexible && !field.never_flexible, w)?,
        }
    }
    if flexible {
        tags.sort();
        w.put_unsigned_varint(tags.len() as u32);
        for (tag, bytes) in tags {
            w.put_unsigned_varint(tag);
            w.put_unsigned_varint(bytes.len() as u32);
            w.put_bytes(&bytes);
        }
    }
    Ok(())
}

fn write_value(
    ty: &FieldType,
    value: &Value,
    nullable: bool,
    version: i16,
    flexible: bool,
    w: &mut Writer,
) -> Result<(), String> {
    match (ty, value) {
        (FieldType::Struct(schema), _) => {
            if nullable {
                w.put_i8(if *value == Value::Null { -1 } else { 1 });
            }
            if *value != Value::Null || !nullable {
                write_struct(schema, value, version, flexible, w)?;
            }
        }
        (FieldType::Array(_) | FieldType::String | FieldType::Bytes | FieldType::Records, Value::Null) => {
            // Where a version has no null the empty value stands for it, as in every client.
            write_length(ty, nullable.then_some(()).map_or(Some(0), |()| None), flexible, w);
        }
        (FieldType::Array(element), Value::List(values)) => {
            write_length(ty, Some(values.len()), flexible, w);
            for value in values {
                write_value(element, value, false, version, flexible, w)?;
            }
        }
        (FieldType::String, _) => {
            let text = match value {
                Value::Text(text) => text.clone(),
                Value::Int(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                Value::Float(number) => number.to_string(),
                Value::Uuid(id) => id.to_string(),
                _ => return Err(format!("{value:?} is no string")),
            };
            write_length(ty, Some(text.len()), flexible, w);
            w.put_bytes(text.as_bytes());
        }
        (FieldType::Bytes, _) => {
            let bytes = batch::bytes(value)?;
            write_length(ty, Some(bytes.len()), flexible, w);
            w.put_bytes(&bytes);
        }
        (FieldType::Records, _) => {
            let bytes = batch::encode(value)?;
            write_length(ty, Some(bytes.len()), flexible, w);
            w.put_bytes(&bytes);
        }
        (FieldType::Uuid, Value::Uuid(id)) => w.put_bytes(&id.0),
        (FieldType::Uuid, Value::Text(text)) => {
            let id: Uuid = text.parse().map_err(|error| format!("{text}: {error}"))?;
            w.put_bytes(&id.0);
        }
        // A small number stands for an id that no topic has.
        (FieldType::Uuid, Value::Int(number)) => w.put_bytes(&i128::from(*number).to_be_bytes()),
        (FieldType::Float64, Value::Float(number)) => w.put_bytes(&number.to_be_bytes()),
        (FieldType::Float64, Value::Int(number)) => w.put_bytes(&(*number as f64).to_be_bytes()),
        (FieldType::Bool, Value::Bool(value)) => w.put_i8(i8::from(*value)),
        (FieldType::Int8, Value::Int(number)) => w.put_i8(*number as i8),
        (FieldType::Int16 | FieldType::Uint16, Value::Int(number)) => w.put_i16(*number as i16),
        (FieldType::Int32 | FieldType::Uint32, Value::Int(number)) => w.put_i32(*number as i32),
        (FieldType::Int64, Value::Int(number)) => w.put_i64(*number),
        _ => return Err(format!("{value:?} is no {ty:?}")),
    }
    Ok(())
}

fn write_length(ty: &FieldType, length: Option<usize>, flexible: bool, w: &mut Writer) {
    match (flexible, ty) {
        (true, _) => w.put_unsigned_varint(length.map_or(0, |length| length as u32 + 1)),
        (false, FieldType::String) => w.put_i16(length.map_or(-1, |length| length as i16)),
        (false, _) => w.put_i32(length.map_or(-1, |length| length as i32)),
    }
}

fn zero(ty: &FieldType) -> Value {
    match ty {
        FieldType::Bool => Value::Bool(false),
        FieldType::Float64 => Value::Float(0.0),
        FieldType::Uuid => Value::Uuid(Uuid::ZERO),
        FieldType::String => Value::Text(String::new()),
        FieldType::Bytes => Value::Bytes(Vec::new()),
        FieldType::Records => Value::Null,
        FieldType::Struct(schema) => {
            Value::Map(schema.fields.iter().map(|field| (camel(field.name), default(field))).collect())
        }
        FieldType::Array(_) => Value::List(Vec::new()),
        _ => Value::Int(0),
    }
}

fn default(field: &FieldSchema) -> Value {
    match field.default {
        DefaultValue::Zero => zero(&field.ty),
        DefaultValue::Null => Value::Null,
        DefaultValue::Int(number) => Value::Int(number),
        DefaultValue::Bool(value) => Value::Bool(value),
        DefaultValue::Str(text) => Value::Text(text.into()),
    }
}

type Read<T> = Result<T, String>;

fn read_struct(schema: &StructSchema, version: i16, flexible: bool, r: &mut Reader<'_>) -> Read<Value> {
    let present: Vec<&FieldSchema> =
        schema.fields.iter().filter(|field| field.versions.contains(version)).collect();
    let is_tagged =
        |field: &FieldSchema| field.tag.is_some_and(|(_, versions)| flexible && versions.contains(version));
    let mut fields = Vec::new();
    for field in &present {
        let value = if is_tagged(field) {
            default(field)
        } else {
            let nullable = field.nullable.is_some_and(|versions| versions.contains(version));
            read_value(&field.ty, nullable, version, flexible && !field.never_flexible, r)
                .map_err(|error| format!("{}: {error}", field.name))?
        };
        fields.push((camel(field.name), value));
    }
    if flexible {
        for _ in 0..text(r.read_unsigned_varint())? {
            let tag = text(r.read_unsigned_varint())?;
            let length = text(r.read_unsigned_varint())? as usize;
            let mut inner = Reader::new(text(r.read_bytes(length))?);
            let at =
                present.iter().position(|field| is_tagged(field) && field.tag.is_some_and(|(t, _)| t == tag));
            let at = at.ok_or_else(|| format!("{} has no tag {tag} in version {version}", schema.name))?;
            let nullable = present[at].nullable.is_some_and(|versions| versions.contains(version));
            fields[at].1 = read_value(&present[at].ty, nullable, version, flexible, &mut inner)?;
        }
    }
    Ok(Value::Map(fields))
}

fn text<T, E: ToString>(result: Result<T, E>) -> Read<T> {
    result.map_err(|error| error.to_string())
}

fn read_value(
    ty: &FieldType,
    nullable: bool,
    version: i16,
    flexible: bool,
    r: &mut Reader<'_>,
) -> Read<Value> {
    Ok(match ty {
        FieldType::Bool => Value::Bool(text(r.read_i8())? != 0),
        FieldType::Int8 => Value::Int(text(r.read_i8())?.into()),
        FieldType::Int16 => Value::Int(text(r.read_i16())?.into()),
        FieldType::Uint16 => Value::Int(text(r.read_u16())?.into()),
        FieldType::Int32 => Value::Int(text(r.read_i32())?.into()),
        FieldType::Uint32 => Value::Int(text(r.read_u32())?.into()),
        FieldType::Int64 => Value::Int(text(r.read_i64())?),
        FieldType::Float64 => Value::Float(text(r.read_f64())?),
        FieldType::Uuid => Value::Uuid(Uuid(text(r.read_array())?)),
        FieldType::Struct(schema) => {
            if nullable && text(r.read_i8())? < 0 {
                return Ok(Value::Null);
            }
            read_struct(schema, version, flexible, r)?
        }
        FieldType::Array(_) | FieldType::String | FieldType::Bytes | FieldType::Records => {
            let Some(length) = read_length(ty, flexible, r)? else {
                return if nullable { Ok(Value::Null) } else { Err("null where it may not be".into()) };
            };
            if let FieldType::Array(element) = ty {
                let values = (0..length).map(|_| read_value(element, false, version, flexible, r));
                return values.collect::<Result<_, _>>().map(Value::List);
            }
            let bytes = text(r.read_bytes(length))?;
            match ty {
                FieldType::String => Value::Text(text(std::str::from_utf8(bytes))?.to_owned()),
                FieldType::Records => batch::decode(bytes),
                _ => batch::text_or_bytes(bytes),
            }
        }
    })
}

fn read_length(ty: &FieldType, flexible: bool, r: &mut Reader<'_>) -> Read<Option<usize>> {
    Ok(match (flexible, ty) {
        (true, _) => text(r.read_unsigned_varint())?.checked_sub(1).map(|length| length as usize),
        (false, FieldType::String) => usize::try_from(text(r.read_i16())?).ok(),
        (false, _) => usize::try_from(text(r.read_i32())?).ok(),
    })
}
