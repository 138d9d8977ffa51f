//! Behaviour of the real binary, a module per subject.

mod acls;
mod allocations;
mod bad_input;
mod bench;
mod between;
mod cli;
mod cli_admin;
mod cli_faults;
mod client;
mod consume_faults;
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
