//! Behaviour of the real binary, a module per subject.

mod bad_input;
mod process;
mod restart;
mod start;
mod versions;
