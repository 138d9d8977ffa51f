//! The values that scenarios are written in and that answers are read into: JSON with less punctuation.
//!
//! ```text
//! {topics: [{name: %t, partitions: [0, 1]}], topicId: $t, note: "two words", nothing: null}
//! ```
//!
//! A bare word is a string unless it reads as a number, `true`, `false` or `null`. In every string `%` becomes the
//! scenario's own prefix and `$name` a value bound before. A word that is nothing but `$name`, `$name+1` or `$name-1`
//! keeps the type of the value.

use std::collections::HashMap;

use quipu_protocol::primitives::Uuid;

/// What a field may hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// A truth value.
    Bool(bool),
    /// Every integer type.
    Int(i64),
    /// A float.
    Float(f64),
    /// A string.
    Text(String),
    /// Bytes that are no text.
    Bytes(Vec<u8>),
    /// 16 bytes.
    Uuid(Uuid),
    /// An array.
    List(Vec<Value>),
    /// A struct, its fields in order.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The field of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Map(fields) => fields.iter().find(|(field, _)| field == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// What lies at a path such as `topics.0.partitions.1.errorCode`.
    pub fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self, |value, step| match value {
            Self::List(values) => values.get(step.parse::<usize>().ok()?),
            _ => value.get(step),
        })
    }

    /// Whether any integer field called `name` holds one of `wanted`, at any depth.
    pub fn any_int(&self, name: &str, wanted: &[i64]) -> bool {
        self.any(name, &|number| wanted.contains(&number))
    }

    /// Whether any integer field called `name` holds something else, at any depth.
    pub fn any_int_but(&self, name: &str, allowed: &[i64]) -> bool {
        self.any(name, &|number| !allowed.contains(&number))
    }

    fn any(&self, name: &str, is: &dyn Fn(i64) -> bool) -> bool {
        match self {
            Self::List(values) => values.iter().any(|value| value.any(name, is)),
            Self::Map(fields) => fields.iter().any(|(field, value)| match value {
                Self::Int(number) => field == name && is(*number),
                _ => value.any(name, is),
            }),
            _ => false,
        }
    }
}

/// What words may refer to.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Stands for `%`.
    pub prefix: String,
    /// Stands for `$name`.
    pub bound: HashMap<String, Value>,
}

impl Names {
    /// Puts prefix and bound values into a text.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['%', '$']) {
            filled.push_str(&rest[..at]);
            let sign = rest.as_bytes()[at];
            rest = &rest[at + 1..];
            if sign == b'%' {
                filled.push_str(&self.prefix);
                continue;
            }
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            if end == 0 {
                filled.push('$');
                continue;
            }
            match self.bound(&rest[..end])? {
                Value::Int(number) => filled.push_str(&number.to_string()),
                Value::Text(text) => filled.push_str(text),
                Value::Uuid(id) => filled.push_str(&id.to_string()),
                other => return Err(format!("${} is {other:?}, which fits into no text", &rest[..end])),
            }
            rest = &rest[end..];
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn bound(&self, name: &str) -> Result<&Value, String> {
        self.bound.get(name).ok_or_else(|| format!("${name} is not bound"))
    }

    fn word(&self, word: &str) -> Result<Value, String> {
        if let Some(name) = word.strip_prefix('$').filter(|name| !name.is_empty()) {
            if let Some(value) = self.bound.get(name) {
                return Ok(value.clone());
            }
            if let Some(at) = name.find(['+', '-'])
                && let Ok(by) = name[at..].parse::<i64>()
                && let Value::Int(number) = self.bound(&name[..at])?
            {
                return Ok(Value::Int(number + by));
            }
        }
        Ok(match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => match (word.parse(), word.parse()) {
                (Ok(number), _) => Value::Int(number),
                (_, Ok(number)) if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                    Value::Float(number)
                }
                _ => Value::Text(self.fill(word)?),
            },
        })
    }
}

/// Reads one value and nothing behind it.
pub fn parse(text: &str, names: &Names) -> Result<Value, String> {
    let mut parser = Parser { rest: text, names };
    let value = parser.value()?;
    parser.blank();
    if parser.rest.is_empty() { Ok(value) } else { Err(format!("left over: {}", parser.rest)) }
}

struct Parser<'a> {
    rest: &'a str,
    names: &'a Names,
}

impl Parser<'_> {
    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, sign: char) -> bool {
        self.blank();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        if self.take('{') {
            let mut fields = Vec::new();
            while !self.take('}') {
                let name = self.word()?;
                if !self.take(':') {
                    return Err(format!("a colon is missing behind {name}"));
                }
                fields.push((name, self.value()?));
                self.take(',');
            }
            return Ok(Value::Map(fields));
        }
        if self.take('[') {
            let mut values = Vec::new();
            while !self.take(']') {
                values.push(self.value()?);
                self.take(',');
            }
            return Ok(Value::List(values));
        }
        if self.take('"') {
            let (text, rest) = self.rest.split_once('"').ok_or("a string without end")?;
            self.rest = rest;
            return Ok(Value::Text(self.names.fill(text)?));
        }
        let word = self.word()?;
        self.names.word(&word)
    }

    fn word(&mut self) -> Result<String, String> {
        self.blank();
        let end = self.rest.find(|c: char| c.is_whitespace() || "{}[],:\"".contains(c));
        let end = end.unwrap_or(self.rest.len());
        if end == 0 {
            return Err(format!("a value is missing before: {}", self.rest));
        }
        let word = self.rest[..end].to_owned();
        self.rest = &self.rest[end..];
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_scenarios_write() {
        let mut names = Names { prefix: "p-".into(), ..Names::default() };
        names.bound.insert("n".into(), Value::Int(4));
        let value = parse("{a: [1, -2 \"x y\"], b: %t$n, c: $n+1, d: null, e: {}}", &names).unwrap();
        assert_eq!(value.at("a.2"), Some(&Value::Text("x y".into())));
        assert_eq!(value.get("b"), Some(&Value::Text("p-t4".into())));
        assert_eq!(value.get("c"), Some(&Value::Int(5)));
        assert_eq!(value.get("d"), Some(&Value::Null));
        assert_eq!(value.get("e"), Some(&Value::Map(Vec::new())));
        assert!(parse("{a: $unknown}", &names).is_err());
        assert!(parse("{a: 1} 2", &names).is_err());
    }
}
