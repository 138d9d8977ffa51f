//! Behaviour of the real binary, a module per subject.

mod allocations;
mod bad_input;
mod bench;
mod cli;
mod cli_admin;
mod client;
mod crash;
mod damage;
mod full;
mod groups;
mod process;
mod produce;
mod requests;
mod restart;
mod start;
mod versions;
