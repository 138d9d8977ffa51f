//! Listeners: `NAME://host:port`, and the protocol that each name stands for.

use std::fmt;

/// How a listener's connections are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// The protocol of this name, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl]
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }
}

/// An address to listen on, or to tell clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The name, in capitals.
    pub name: String,
    /// What the name stands for.
    pub protocol: SecurityProtocol,
    /// Host name or address without brackets; empty means every interface.
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.name, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.name, self.host, self.port)
        }
    }
}

/// Takes `NAME://host:port` apart. The error is the end of a sentence.
pub fn parse(text: &str) -> Result<(String, String, u16), String> {
    let problem = || format!("{text:?} is not NAME://host:port, for example PLAINTEXT://127.0.0.1:9092");
    let (name, address) = text.split_once("://").ok_or_else(problem)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(problem)?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inside) => inside,
        // More than one colon outside of brackets: where the port begins would be a guess.
        None if host.contains([':', '[', ']']) => return Err(problem()),
        None => host,
    };
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || !name.chars().all(word) || host.contains(['/', ' ', '@']) {
        return Err(problem());
    }
    let port = port.parse().map_err(|_| problem())?;
    Ok((name.to_ascii_uppercase(), host.to_owned(), port))
}

/// Reads `listener.security.protocol.map`: `NAME:PROTOCOL` items. The error is the end of a sentence.
pub fn parse_map(text: &str) -> Result<Vec<(String, SecurityProtocol)>, String> {
    let mut map: Vec<(String, SecurityProtocol)> = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, protocol) = item
            .split_once(':')
            .ok_or_else(|| format!("{item:?} is not NAME:PROTOCOL, for example INTERNAL:PLAINTEXT"))?;
        let name = name.trim().to_ascii_uppercase();
        let protocol = SecurityProtocol::of_name(protocol.trim()).ok_or_else(|| {
            format!(
                "{:?} is not a protocol; there are PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL",
                protocol.trim()
            )
        })?;
        if map.iter().any(|(known, _)| *known == name) {
            return Err(format!("{name} stands in the list twice"));
        }
        map.push((name, protocol));
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parsed = |text| parse(text).unwrap();
        assert_eq!(parsed("plaintext://:9092"), ("PLAINTEXT".into(), String::new(), 9092));
        assert_eq!(parsed("A_b-1://[::1]:0"), ("A_B-1".into(), "::1".into(), 0));
        assert_eq!(parsed("X://broker.example:19092"), ("X".into(), "broker.example".into(), 19092));
        for wrong in [
            "",
            "9092",
            "localhost:9092",
            "A://x",
            "A://x:70000",
            "A://x:-1",
            "A://::1:9092",
            "://x:1",
            "A B://x:1",
            "A://x/y:1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn maps() {
        assert_eq!(
            parse_map("inside:plaintext, OUT:SASL_SSL").unwrap(),
            [("INSIDE".into(), SecurityProtocol::Plaintext), ("OUT".into(), SecurityProtocol::SaslSsl)]
        );
        for wrong in ["A", "A:B", "A:SSL,a:SSL"] {
            assert!(parse_map(wrong).is_err(), "{wrong}");
        }
    }
}
