//! The rules of classic groups, one by one. Names of invariants (G1, O1, …) are those of the semantics reference.

mod commit;
mod expire;
mod fixed;
mod join;
mod leave;
mod restart;
mod session;
mod sync;
mod whole;

/// What members offer where it does not matter.
const RANGE: &[(&str, &str)] = &[("range", "sub")];
