//! Quipu: a self-contained broker that speaks the Kafka protocol and keeps a durable event log on one machine.
//!
//! # Architecture
//!
//! Everything durable is a *log*; every other piece of state is a *machine* that replays a log. A request is a
//! *function call*: bytes become a typed request, one function answers it, bytes go back, all on the thread that
//! owns the connection. Disk, time, randomness and network enter through *doors* that a test can hold.
//!
//! ```text
//! net          threads, connections, frames        │ knows no API
//!  └ api       the table of APIs, a function each   │ knows no socket
//!     ├ topic        live partitions, waiting reads
//!     ├ coordinator  group and transaction machines │ knows no clock, no disk
//!     ├ catalog      topics and configs as a log
//!     ├ internal     the coordinators' own topics
//!     └ config       keys, types, origins
//!        quipu-storage   segments, indexes          │ knows no topics
//!        quipu-protocol  messages, batches          │ knows no files
//! ```
//!
//! Dependencies point downwards only. [`broker::Broker`] owns it all and is the one thing a handler is given;
//! [`server::Server`] adds sockets and threads. The command line (`cli`) and its client (`client`) are further
//! doors to a broker, this one or any other that speaks the protocol.
#![forbid(unsafe_code)]

pub mod api;
pub mod broker;
pub mod catalog;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod coordinator;
pub mod error;
pub mod health;
pub mod identity;
pub mod internal;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod security;
pub mod server;
pub mod topic;
pub mod upkeep;
pub mod verify;
