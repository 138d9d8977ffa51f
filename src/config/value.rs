//! The types of configuration values, the ranges that Kafka allows for them, and their text form.

use std::fmt;

/// The type of a key's value, numbered as DescribeConfigs v3 and later report it (KIP-569).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ValueType {
    /// `true` or `false`, in any case.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// A signed 32-bit number.
    Int = 3,
    /// A signed 16-bit number.
    Short = 4,
    /// A signed 64-bit number.
    Long = 5,
    /// A floating point number.
    Double = 6,
    /// Items separated by commas; blanks around an item do not count.
    List = 7,
    /// The name of a Java class. Read and reported, never loaded.
    Class = 8,
    /// A secret: it never leaves the broker, neither in an answer nor in a message.
    Password = 9,
}

impl ValueType {
    /// The code on the wire; 0, "unknown", stands for keys that are in no table.
    pub fn wire_code(self) -> i8 {
        self as i8
    }

    /// Kafka's name of the type, in capitals.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }
}

/// What a value must satisfy beyond its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowed {
    /// Every value of the type.
    Any,
    /// A number not below this one.
    AtLeast(i64),
    /// A number in this inclusive range.
    Between(i64, i64),
    /// A floating point number in this inclusive range.
    Real(f64, f64),
    /// One of these words; for a list, each item is one of them.
    OneOf(&'static [&'static str]),
    /// One of these words, in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// Text or a list that is not empty.
    NotEmpty,
    /// A compression level of gzip: −1, which leaves it to the codec, or 1 to 9.
    GzipLevel,
    /// `*`, or items of the form `partition:broker`.
    Replicas,
    /// `earliest`, `latest` or `by_duration:` and an ISO 8601 duration.
    OffsetReset,
}

/// A value that was read and found valid.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A [`ValueType::Boolean`].
    Boolean(bool),
    /// A whole number of any width; the width was checked when it was read.
    Number(i64),
    /// A [`ValueType::Double`].
    Real(f64),
    /// Text, a class name or a secret.
    Text(String),
    /// A [`ValueType::List`], items trimmed, no duplicates.
    List(Vec<String>),
}

/// Writes the value as Kafka's tools print it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Real(value) => f.write_str(&java_double(*value)),
            Self::Text(value) => f.write_str(value),
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// What a key accepts: its type and its range. The unit of reading and checking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Domain {
    /// The type.
    pub value_type: ValueType,
    /// The range.
    pub allowed: Allowed,
}

impl Domain {
    /// Reads `text`. The error says what would have been accepted, as the end of a sentence.
    pub fn parse(&self, text: &str) -> Result<Value, Expected> {
        let trimmed = text.trim();
        let value = match self.value_type {
            ValueType::Boolean => match trimmed.to_ascii_lowercase().as_str() {
                "true" => Value::Boolean(true),
                "false" => Value::Boolean(false),
                _ => return Err(self.expected()),
            },
            ValueType::Short => {
                Value::Number(i64::from(trimmed.parse::<i16>().map_err(|_| self.expected())?))
            }
            ValueType::Int => Value::Number(i64::from(trimmed.parse::<i32>().map_err(|_| self.expected())?)),
            ValueType::Long => Value::Number(trimmed.parse::<i64>().map_err(|_| self.expected())?),
            ValueType::Double => match trimmed.parse::<f64>() {
                Ok(value) if !value.is_nan() => Value::Real(value),
                _ => return Err(self.expected()),
            },
            ValueType::List => Value::List(list_items(trimmed)),
            // A secret may begin or end with a blank, so it is taken as it stands.
            ValueType::Password => Value::Text(text.to_owned()),
            ValueType::String | ValueType::Class => Value::Text(trimmed.to_owned()),
        };
        if self.admits(&value) { Ok(value) } else { Err(self.expected()) }
    }

    fn admits(&self, value: &Value) -> bool {
        match (self.allowed, value) {
            (Allowed::Any, _) => true,
            (Allowed::AtLeast(low), Value::Number(n)) => *n >= low,
            (Allowed::Between(low, high), Value::Number(n)) => (low..=high).contains(n),
            (Allowed::Real(low, high), Value::Real(n)) => (low..=high).contains(n),
            (Allowed::OneOf(words), Value::Text(text)) => words.contains(&text.as_str()),
            (Allowed::OneOf(words), Value::List(items)) => {
                items.iter().all(|item| words.contains(&item.as_str()))
            }
            (Allowed::OneOfAnyCase(words), Value::Text(text)) => {
                words.iter().any(|word| word.eq_ignore_ascii_case(text))
            }
            (Allowed::NotEmpty, Value::Text(text)) => !text.is_empty(),
            (Allowed::NotEmpty, Value::List(items)) => !items.is_empty(),
            (Allowed::GzipLevel, Value::Number(n)) => *n == -1 || (1..=9).contains(n),
            (Allowed::Replicas, Value::List(items)) => {
                items.as_slice() == ["*"] || items.iter().all(|item| is_replica(item))
            }
            (Allowed::OffsetReset, Value::Text(text)) => is_offset_reset(text),
            // A row of the table that pairs a range with a type it cannot hold for.
            _ => false,
        }
    }

    /// What is accepted, for messages.
    pub fn expected(&self) -> Expected {
        Expected(*self)
    }

    /// A value that would be accepted, for messages: `preferred` (the default) when it is one.
    pub fn example<'a>(&self, preferred: Option<&'a str>) -> std::borrow::Cow<'a, str> {
        if let Some(text) = preferred.filter(|text| !text.is_empty()) {
            return text.into();
        }
        match self.allowed {
            Allowed::AtLeast(low) | Allowed::Between(low, _) => low.to_string().into(),
            Allowed::Real(low, _) => java_double(low).into(),
            Allowed::OneOf(words) | Allowed::OneOfAnyCase(words) => words[0].into(),
            Allowed::GzipLevel => "6".into(),
            Allowed::Replicas => "0:0,1:0".into(),
            Allowed::OffsetReset => "earliest".into(),
            Allowed::Any | Allowed::NotEmpty => match self.value_type {
                ValueType::Boolean => "true",
                ValueType::Short | ValueType::Int | ValueType::Long => "1000",
                ValueType::Double => "0.5",
                ValueType::List => "a,b",
                ValueType::String | ValueType::Class | ValueType::Password => "text",
            }
            .into(),
        }
    }
}

/// Says in words what a [`Domain`] accepts, such as "a whole number of at least 1 (64 bits)".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected(Domain);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = match self.0.value_type {
            ValueType::Short => 16,
            ValueType::Int => 32,
            _ => 64,
        };
        match (self.0.allowed, self.0.value_type) {
            (Allowed::AtLeast(low), _) => write!(f, "a whole number of at least {low} ({bits} bits)"),
            (Allowed::Between(low, high), _) => write!(f, "a whole number from {low} to {high}"),
            (Allowed::Real(low, high), _) => write!(f, "a number from {low} to {high}"),
            (Allowed::OneOf(words), ValueType::List) => {
                write!(f, "a list, separated by commas, of {}", words.join(", "))
            }
            (Allowed::OneOf(words) | Allowed::OneOfAnyCase(words), _) => {
                write!(f, "one of {}", words.join(", "))
            }
            (Allowed::NotEmpty, ValueType::List) => f.write_str("a list that is not empty"),
            (Allowed::NotEmpty, _) => f.write_str("text that is not empty"),
            (Allowed::GzipLevel, _) => f.write_str("-1 or a whole number from 1 to 9"),
            (Allowed::Replicas, _) => {
                f.write_str("* or a list, separated by commas, of partition:broker pairs")
            }
            (Allowed::OffsetReset, _) => {
                f.write_str("earliest, latest, or by_duration: followed by an ISO 8601 duration such as PT1H")
            }
            (Allowed::Any, ValueType::Boolean) => f.write_str("true or false"),
            (Allowed::Any, ValueType::Short | ValueType::Int | ValueType::Long) => {
                write!(f, "a whole number ({bits} bits)")
            }
            (Allowed::Any, ValueType::Double) => f.write_str("a number"),
            (Allowed::Any, ValueType::List) => f.write_str("a list separated by commas"),
            (Allowed::Any, ValueType::Class) => f.write_str("the name of a class"),
            (Allowed::Any, ValueType::String | ValueType::Password) => f.write_str("text"),
        }
    }
}

/// Splits a list: items are trimmed, empty ones and repetitions dropped, the order kept.
pub fn list_items(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        if !items.iter().any(|known| known == item) {
            items.push(item.to_owned());
        }
    }
    items
}

fn is_replica(item: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    item.split_once(':').is_some_and(|(partition, broker)| number(partition) && number(broker))
}

fn is_offset_reset(text: &str) -> bool {
    match text.strip_prefix("by_duration:") {
        Some(duration) => is_duration(duration),
        None => text == "earliest" || text == "latest",
    }
}

/// Whether `text` is an ISO 8601 duration of days, hours, minutes and seconds, not negative.
fn is_duration(text: &str) -> bool {
    let Some(rest) = text.to_ascii_uppercase().strip_prefix('P').map(str::to_owned) else { return false };
    let (days, time) = match rest.split_once('T') {
        Some((_, "")) => return false,
        Some((days, time)) => (days.to_owned(), time.to_owned()),
        None => (rest, String::new()),
    };
    if days.is_empty() && time.is_empty() {
        return false;
    }
    units_in_order(&days, "D") && units_in_order(&time, "HMS")
}

/// Whether `text` is numbers, each followed by a unit, the units in the order of `units`.
fn units_in_order(mut text: &str, mut units: &str) -> bool {
    while !text.is_empty() {
        let Some(end) = text.find(|c: char| !c.is_ascii_digit() && c != '.') else { return false };
        let (number, rest) = text.split_at(end);
        let Some(unit) = rest.chars().next() else { return false };
        let Some(place) = units.find(unit) else { return false };
        let whole = !number.contains('.') || unit == 'S';
        if !whole || number.parse::<f64>().is_err() {
            return false;
        }
        units = &units[place + 1..];
        text = &rest[unit.len_utf8()..];
    }
    true
}

/// A floating point number as Java prints it: always with a fraction, and with `E` outside 0.001 to 10 million.
fn java_double(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => format!("{mantissa}E{exponent}"),
        Some((mantissa, exponent)) => format!("{mantissa}.0E{exponent}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(value_type: ValueType, allowed: Allowed) -> Domain {
        Domain { value_type, allowed }
    }

    #[test]
    fn numbers_keep_to_their_width_and_range() {
        let int = domain(ValueType::Int, Allowed::AtLeast(1));
        assert_eq!(int.parse(" 7 "), Ok(Value::Number(7)));
        assert_eq!(int.parse("+7"), Ok(Value::Number(7)));
        for wrong in ["0", "-1", "3000000000", "7.0", "", "seven", "7 8"] {
            assert!(int.parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(int.expected().to_string(), "a whole number of at least 1 (32 bits)");
        assert!(domain(ValueType::Short, Allowed::Any).parse("32768").is_err());
        let long = domain(ValueType::Long, Allowed::Any);
        assert_eq!(long.parse("9223372036854775807"), Ok(Value::Number(i64::MAX)));
        assert!(long.parse("9223372036854775808").is_err());
    }

    #[test]
    fn booleans_take_any_case_and_nothing_else() {
        let boolean = domain(ValueType::Boolean, Allowed::Any);
        assert_eq!(boolean.parse("TRUE"), Ok(Value::Boolean(true)));
        assert_eq!(boolean.parse(" false"), Ok(Value::Boolean(false)));
        for wrong in ["yes", "1", "on", ""] {
            assert!(boolean.parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn lists_drop_blanks_and_repetitions() {
        let list = domain(ValueType::List, Allowed::OneOf(&["compact", "delete"]));
        let parse = |text| list.parse(text).map(|value| value.to_string());
        assert_eq!(parse(" compact , delete ").unwrap(), "compact,delete");
        assert_eq!(parse("compact,compact").unwrap(), "compact");
        assert_eq!(parse("").unwrap(), "");
        assert!(parse("never").is_err());
    }

    #[test]
    fn doubles_print_as_java_does() {
        for (value, text) in [
            (0.5, "0.5"),
            (1.0, "1.0"),
            (0.0, "0.0"),
            (f64::MAX, "1.7976931348623157E308"),
            (1e7, "1.0E7"),
            (0.0005, "5.0E-4"),
            (1234567.0, "1234567.0"),
        ] {
            assert_eq!(java_double(value), text);
        }
        assert!(domain(ValueType::Double, Allowed::Any).parse("NaN").is_err());
    }

    #[test]
    fn special_ranges() {
        let gzip = domain(ValueType::Int, Allowed::GzipLevel);
        assert!(gzip.parse("-1").is_ok() && gzip.parse("9").is_ok());
        assert!(gzip.parse("0").is_err() && gzip.parse("10").is_err());
        let replicas = domain(ValueType::List, Allowed::Replicas);
        assert!(
            replicas.parse("*").is_ok() && replicas.parse("0:1,2:3").is_ok() && replicas.parse("").is_ok()
        );
        assert!(replicas.parse("abc").is_err() && replicas.parse("*,0:1").is_err());
        let reset = domain(ValueType::String, Allowed::OffsetReset);
        for good in ["earliest", "latest", "by_duration:PT1H", "by_duration:P1DT2H3M4.5S", "by_duration:P2D"]
        {
            assert!(reset.parse(good).is_ok(), "{good}");
        }
        for wrong in
            ["never", "by_duration:", "by_duration:P", "by_duration:PT", "by_duration:1h", "by_duration:PT1X"]
        {
            assert!(reset.parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_are_taken_as_they_stand() {
        assert_eq!(domain(ValueType::Password, Allowed::Any).parse(" x "), Ok(Value::Text(" x ".into())));
    }
}
