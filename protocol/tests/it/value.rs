//! Random messages, written from the schema by a second, slow encoder.

use quipu_protocol::schema::{DefaultValue, FieldSchema, FieldType, StructSchema};

/// A small generator of pseudo-random numbers (SplitMix64); equal seeds give equal messages.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// A value of a field. A struct has one value for each declared field, also for absent ones.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Float(f64),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Struct(Vec<Value>),
}

fn zero(ty: &FieldType) -> Value {
    match ty {
        FieldType::Float64 => Value::Float(0.0),
        FieldType::Uuid => Value::Bytes(vec![0; 16]),
        FieldType::String | FieldType::Bytes => Value::Bytes(Vec::new()),
        FieldType::Records => Value::Null,
        FieldType::Struct(schema) => Value::Struct(schema.fields.iter().map(default).collect()),
        FieldType::Array(_) => Value::Array(Vec::new()),
        _ => Value::Int(0),
    }
}

fn default(field: &FieldSchema) -> Value {
    match field.default {
        DefaultValue::Zero => zero(&field.ty),
        DefaultValue::Null => Value::Null,
        DefaultValue::Int(value) if matches!(field.ty, FieldType::Float64) => Value::Float(value as f64),
        DefaultValue::Int(value) => Value::Int(value),
        DefaultValue::Bool(value) => Value::Int(value.into()),
        DefaultValue::Str(value) => Value::Bytes(value.into()),
    }
}

/// A random value of `schema` as `version` can carry it.
pub(crate) fn random_struct(schema: &StructSchema, version: i16, random: &mut Random) -> Value {
    let field = |field: &FieldSchema| {
        let nullable = field.nullable.is_some_and(|versions| versions.contains(version));
        if !field.versions.contains(version) || field.tag.is_some() && random.below(3) == 0 {
            default(field)
        } else if nullable && random.below(4) == 0 {
            Value::Null
        } else {
            random_value(&field.ty, version, random)
        }
    };
    Value::Struct(schema.fields.iter().map(field).collect())
}

fn random_value(ty: &FieldType, version: i16, random: &mut Random) -> Value {
    let bits = match ty {
        FieldType::Bool => return Value::Int(random.below(2) as i64),
        FieldType::Int8 => 8,
        FieldType::Int16 | FieldType::Uint16 => 16,
        FieldType::Int32 | FieldType::Uint32 => 32,
        FieldType::Int64 => 64,
        FieldType::Float64 => return Value::Float(f64::from(random.next() as i32) / 8.0),
        FieldType::Uuid => {
            let halves = [random.next(), random.next()].map(u64::to_be_bytes);
            return Value::Bytes(halves.concat());
        }
        FieldType::String => return Value::Bytes(random_text(random).into_bytes()),
        FieldType::Bytes | FieldType::Records => {
            let length = random_length(random);
            return Value::Bytes((0..length).map(|_| random.next() as u8).collect());
        }
        FieldType::Struct(schema) => return random_struct(schema, version, random),
        FieldType::Array(element) => {
            // Now and then long enough for a count of two bytes, if the elements are small.
            let small = !matches!(element, FieldType::Struct(_));
            let count = if small && random.below(16) == 0 { 127 + random.below(4) } else { random.below(4) };
            return Value::Array((0..count).map(|_| random_value(element, version, random)).collect());
        }
    };
    let unsigned = matches!(ty, FieldType::Uint16 | FieldType::Uint32);
    let (low, high) = match (unsigned, bits) {
        (true, bits) => (0, (1i64 << bits) - 1),
        (false, bits) => (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits)),
    };
    let any = (random.next() as i64) >> (64 - bits);
    Value::Int(match random.below(6) {
        0 => low,
        1 => high,
        2 => 0,
        3 => (any & 0x7f).min(high),
        _ if unsigned => any & high,
        _ => any,
    })
}

fn random_length(random: &mut Random) -> usize {
    match random.below(10) {
        0 => 0,
        // Around the border between lengths of one byte and of two.
        1 => 120 + random.below(20),
        _ => random.below(12),
    }
}

fn random_text(random: &mut Random) -> String {
    let letters = ['a', 'Z', '0', '-', '.', ' ', '\0', 'é', '結', '𐍈'];
    (0..random_length(random)).map(|_| letters[random.below(letters.len())]).collect()
}

/// Writes `value` of `schema`.
pub(crate) fn write_struct(
    schema: &StructSchema,
    value: &Value,
    version: i16,
    flexible: bool,
    out: &mut Vec<u8>,
) {
    let Value::Struct(values) = value else { panic!("{value:?} is no {}", schema.name) };
    let mut tags = Vec::new();
    for (field, value) in schema.fields.iter().zip(values) {
        if !field.versions.contains(version) {
            continue;
        }
        let nullable = field.nullable.is_some_and(|versions| versions.contains(version));
        match field.tag {
            Some((tag, versions)) if versions.contains(version) => {
                if *value != default(field) {
                    let mut bytes = Vec::new();
                    write(&field.ty, value, nullable, version, flexible, &mut bytes);
                    tags.push((tag, bytes));
                }
            }
            _ => write(&field.ty, value, nullable, version, flexible && !field.never_flexible, out),
        }
    }
    if flexible {
        tags.sort();
        write_varint(tags.len() as u64, out);
        for (tag, bytes) in tags {
            write_varint(tag.into(), out);
            write_varint(bytes.len() as u64, out);
            out.extend(bytes);
        }
    }
}

fn write(ty: &FieldType, value: &Value, nullable: bool, version: i16, flexible: bool, out: &mut Vec<u8>) {
    match (ty, value) {
        (FieldType::Struct(schema), Value::Struct(_)) => {
            if nullable {
                out.push(1);
            }
            write_struct(schema, value, version, flexible, out);
        }
        (FieldType::Struct(_), Value::Null) => out.push(0xff),
        (_, Value::Null) => write_length(ty, None, flexible, out),
        (FieldType::Uuid, Value::Bytes(bytes)) => out.extend(bytes),
        (_, Value::Bytes(bytes)) => {
            write_length(ty, Some(bytes.len()), flexible, out);
            out.extend(bytes);
        }
        (FieldType::Array(element), Value::Array(values)) => {
            write_length(ty, Some(values.len()), flexible, out);
            for value in values {
                write(element, value, false, version, flexible, out);
            }
        }
        (FieldType::Float64, Value::Float(value)) => out.extend(value.to_be_bytes()),
        (FieldType::Bool | FieldType::Int8, Value::Int(value)) => out.push(*value as u8),
        (FieldType::Int16 | FieldType::Uint16, Value::Int(value)) => {
            out.extend((*value as i16).to_be_bytes())
        }
        (FieldType::Int32 | FieldType::Uint32, Value::Int(value)) => {
            out.extend((*value as i32).to_be_bytes())
        }
        (FieldType::Int64, Value::Int(value)) => out.extend(value.to_be_bytes()),
        _ => panic!("{value:?} is no {ty:?}"),
    }
}

fn write_length(ty: &FieldType, length: Option<usize>, flexible: bool, out: &mut Vec<u8>) {
    match (flexible, ty) {
        (true, _) => write_varint(length.map_or(0, |length| length as u64 + 1), out),
        (false, FieldType::String) => out.extend(length.map_or(-1, |length| length as i16).to_be_bytes()),
        (false, _) => out.extend(length.map_or(-1, |length| length as i32).to_be_bytes()),
    }
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The smallest value of `schema`, but for the arrays at `depth`, which have `count` elements; arrays
/// above them have one.
pub(crate) fn wide_struct(schema: &StructSchema, version: i16, depth: usize, count: usize) -> Value {
    let field = |field: &FieldSchema| {
        let nullable = field.nullable.is_some_and(|versions| versions.contains(version));
        if !field.versions.contains(version) {
            return default(field);
        }
        match wide_value(&field.ty, version, depth, count) {
            Value::Array(elements) if elements.is_empty() && nullable => Value::Null,
            Value::Bytes(_) if nullable => Value::Null,
            value => value,
        }
    };
    Value::Struct(schema.fields.iter().map(field).collect())
}

fn wide_value(ty: &FieldType, version: i16, depth: usize, count: usize) -> Value {
    match ty {
        FieldType::Struct(schema) => wide_struct(schema, version, depth, count),
        FieldType::Array(element) => match depth.checked_sub(1) {
            None => Value::Array(vec![smallest(element, version); count]),
            Some(depth) => Value::Array(vec![wide_value(element, version, depth, count)]),
        },
        _ => smallest(ty, version),
    }
}

fn smallest(ty: &FieldType, version: i16) -> Value {
    match ty {
        FieldType::Struct(schema) => {
            let field = |field: &FieldSchema| {
                let nullable = field.nullable.is_some_and(|versions| versions.contains(version));
                if !field.versions.contains(version) || field.tag.is_some() {
                    default(field)
                } else if nullable {
                    Value::Null
                } else {
                    smallest(&field.ty, version)
                }
            };
            Value::Struct(schema.fields.iter().map(field).collect())
        }
        FieldType::Records => Value::Bytes(Vec::new()),
        ty => zero(ty),
    }
}
