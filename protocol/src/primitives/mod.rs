//! The types that messages are made of, and how they are read and written.

mod read;
mod uuid;
mod value;
mod write;

pub use read::{
    DecodeError, MAX_ARRAY_ELEMENTS, MAX_INITIAL_CAPACITY, MAX_STRING_BYTES, MAX_TAGGED_FIELDS, Reader,
};
pub use uuid::{ParseUuidError, Uuid};
pub use value::Records;
pub use write::{Frame, Writer};

use std::borrow::Cow;

/// A string; decoding borrows it from the frame.
pub type Str<'a> = Cow<'a, str>;

/// Bytes; decoding borrows them from the frame.
pub type Blob<'a> = Cow<'a, [u8]>;
