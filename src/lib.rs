//! Quipu: a self-contained broker that speaks the Kafka protocol.

pub mod client;
pub mod config;
pub mod coordinator;
