//! Behaviour of the real binary, a module per subject.

mod bad_input;
mod process;
mod start;
