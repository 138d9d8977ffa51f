//! What can go wrong between us and a broker, in words that name the cure.

use std::fmt;
use std::io;
use std::time::Duration;

use quipu_protocol::ErrorCode;

/// A failed conversation with a broker. The texts are for a person at a terminal: one or two sentences.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody listens there.
    Refused {
        /// The address that was tried.
        address: String,
    },
    /// The address is no address, or the network does not lead there.
    Unreachable {
        /// The address that was tried.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The broker named an address for itself that we cannot reach.
    BadAdvertised {
        /// The broker's id.
        node: i32,
        /// Why.
        source: Box<ClientError>,
    },
    /// No answer in time.
    TimedOut {
        /// The broker.
        address: String,
        /// What was asked.
        api: &'static str,
        /// How long we waited.
        after: Duration,
    },
    /// The broker closed the connection, or it broke.
    Closed {
        /// The broker.
        address: String,
        /// What was asked.
        api: &'static str,
    },
    /// Something else than a plain-text Kafka listener is at that address.
    NotKafka {
        /// The address.
        address: String,
        /// What it looks like.
        looks_like: &'static str,
    },
    /// The answer does not follow the protocol.
    Malformed {
        /// The broker.
        address: String,
        /// What was asked.
        api: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The broker does not offer a version of this request that we can speak.
    Unsupported {
        /// The broker.
        address: String,
        /// The request.
        api: &'static str,
    },
    /// The broker answered with an error code.
    Broker {
        /// What we wanted, such as `topic "orders"`.
        subject: String,
        /// Kafka's error code.
        code: i16,
        /// The broker's own words.
        message: Option<String>,
    },
    /// Something is not as a caller needs it: an empty address, a corrupt batch, a partition that is not there.
    Other(String),
}

impl ClientError {
    pub(crate) fn broker(subject: impl Into<String>, code: i16, message: Option<&str>) -> Self {
        let message = message.filter(|text| !text.is_empty()).map(str::to_owned);
        Self::Broker { subject: subject.into(), code, message }
    }

    /// The broker's error code, where it gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } => Some(ErrorCode(*code)),
            _ => None,
        }
    }

    /// Whether the connection is of no further use.
    pub(crate) fn is_transport(&self) -> bool {
        match self {
            Self::Broker { .. } | Self::Unsupported { .. } | Self::Other(_) => false,
            Self::BadAdvertised { source, .. } => source.is_transport(),
            _ => true,
        }
    }

    /// Whether the conversation broke off where another one may succeed, as when a broker restarts.
    pub(crate) fn is_broken_off(&self) -> bool {
        self.is_transport() && self.is_retriable()
    }

    /// Whether asking again, after looking for the leader or coordinator anew, may help.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Broker { code, .. } => is_retriable(*code),
            Self::Closed { .. } | Self::Refused { .. } | Self::TimedOut { .. } => true,
            Self::BadAdvertised { source, .. } => source.is_retriable(),
            _ => false,
        }
    }
}

/// Kafka's retriable codes, as far as a client of ours can meet them (`Errors` in Kafka's client library).
pub(crate) fn is_retriable(code: i16) -> bool {
    matches!(
        ErrorCode(code),
        ErrorCode::CORRUPT_MESSAGE
            | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::REQUEST_TIMED_OUT
            | ErrorCode::REPLICA_NOT_AVAILABLE
            | ErrorCode::NETWORK_EXCEPTION
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR
            | ErrorCode::NOT_ENOUGH_REPLICAS
            | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
            | ErrorCode::NOT_CONTROLLER
            | ErrorCode::KAFKA_STORAGE_ERROR
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
            | ErrorCode::OFFSET_NOT_AVAILABLE
            | ErrorCode::UNSTABLE_OFFSET_COMMIT
            | ErrorCode::UNKNOWN_TOPIC_ID
    )
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { address } => {
                write!(
                    f,
                    "nothing listens on {address}. Start a broker there with `quipu`, or name another with --bootstrap"
                )
            }
            Self::Unreachable { address, source } => {
                write!(f, "cannot reach {address}: {source}. Check --bootstrap (HOST:PORT)")
            }
            Self::BadAdvertised { node, source } => write!(
                f,
                "the cluster says that broker {node} is elsewhere: {source}. Its advertised.listeners must hold an address that works from here"
            ),
            Self::TimedOut { address, api, after } => write!(
                f,
                "{address} did not answer {api} within {} s. Is it a Kafka listener? A busy one may need a longer --timeout",
                after.as_secs()
            ),
            Self::Closed { address, api } => write!(
                f,
                "{address} closed the connection during {api}. If the listener wants TLS or a login, use a plain-text one"
            ),
            Self::NotKafka { address, looks_like } => write!(
                f,
                "{address} answers, but with {looks_like}. Point --bootstrap at a plain-text Kafka listener"
            ),
            Self::Malformed { address, api, detail } => {
                write!(f, "the answer of {address} to {api} makes no sense: {detail}")
            }
            Self::Unsupported { address, api } => {
                write!(
                    f,
                    "{address} does not offer {api} in a version that this command knows; it needs a newer broker"
                )
            }
            Self::Broker { subject, code, message } => {
                let code = ErrorCode(*code);
                match message {
                    Some(message) => write!(f, "{subject}: {message} ({code})")?,
                    None => write!(f, "{subject}: {}", describe(code))?,
                }
                match cure(code) {
                    Some(cure) => write!(f, ". {cure}"),
                    None => Ok(()),
                }
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ClientError {}

fn describe(code: ErrorCode) -> String {
    let text = match code {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => "there is no such topic or partition",
        ErrorCode::TOPIC_ALREADY_EXISTS => "it exists already",
        ErrorCode::INVALID_TOPIC_EXCEPTION => "that is not a legal topic name",
        ErrorCode::MESSAGE_TOO_LARGE => "a record is larger than the topic allows",
        ErrorCode::OFFSET_OUT_OF_RANGE => "the offset is outside of the log",
        ErrorCode::GROUP_ID_NOT_FOUND => "there is no such group",
        ErrorCode::NON_EMPTY_GROUP => "the group still has members",
        ErrorCode::UNKNOWN_MEMBER_ID => "the group still has members, or has expelled this one",
        ErrorCode::INCONSISTENT_GROUP_PROTOCOL => {
            "the group's members share no way of assigning partitions with this one"
        }
        ErrorCode::LEADER_NOT_AVAILABLE => "nobody leads it at present",
        ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC => "the group is subscribed to that topic",
        ErrorCode::COORDINATOR_NOT_AVAILABLE => "the group's coordinator is not available yet",
        ErrorCode::TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::GROUP_AUTHORIZATION_FAILED
        | ErrorCode::CLUSTER_AUTHORIZATION_FAILED => "the broker does not permit it",
        _ => return format!("the broker answered {code}"),
    };
    format!("{text} ({code})")
}

fn cure(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
            "`quipu topic list` shows what is there, `quipu topic create` makes it"
        }
        ErrorCode::MESSAGE_TOO_LARGE => {
            "Raise max.message.bytes with `quipu config set topic NAME max.message.bytes=…`"
        }
        ErrorCode::GROUP_ID_NOT_FOUND => "`quipu group list` shows what is there",
        ErrorCode::NON_EMPTY_GROUP | ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC => {
            "Stop its consumers first; `quipu group describe` names them"
        }
        ErrorCode::OFFSET_OUT_OF_RANGE => "`quipu topic describe` shows where the log starts and ends",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_cure() {
        let refused = ClientError::Refused { address: "127.0.0.1:1".into() }.to_string();
        assert!(refused.contains("127.0.0.1:1") && refused.contains("`quipu`"), "{refused}");
        let missing = ClientError::broker("topic \"x\"", 3, None).to_string();
        assert_eq!(
            missing,
            "topic \"x\": there is no such topic or partition (UNKNOWN_TOPIC_OR_PARTITION). \
             `quipu topic list` shows what is there, `quipu topic create` makes it"
        );
    }

    #[test]
    fn broker_words_come_before_ours() {
        let error = ClientError::broker("topic \"x\"", 40, Some("bad value")).to_string();
        assert_eq!(error, "topic \"x\": bad value (INVALID_CONFIG)");
    }
}
