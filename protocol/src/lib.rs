//! The Kafka wire protocol.

pub mod record;
