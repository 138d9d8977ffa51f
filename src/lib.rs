//! Quipu: a self-contained broker that speaks the Kafka protocol.

pub mod config;
pub mod coordinator;
