//! Names for the numbers that cross this crate's border.

/// Place of a record in its partition, counted from 0. Ends are exclusive.
pub type Offset = i64;

/// Identity of an idempotent or transactional producer; -1 when there is none.
pub type ProducerId = i64;

/// Incarnation of a producer; -1 when there is none.
pub type ProducerEpoch = i16;

/// Milliseconds: a wall-clock time since 1970, or a duration. -1 is "no timestamp".
pub type Millis = i64;

/// Kafka's "no timestamp".
pub const NO_TIMESTAMP: Millis = -1;
