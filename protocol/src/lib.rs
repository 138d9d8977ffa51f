//! The Kafka wire protocol, up to Apache Kafka 4.4.
//!
//! * [`message`]: one file per API, the request and the response as declared structs.
//! * [`header`]: request and response headers, and whole frames with their length prefix.
//! * [`primitives`]: the bounded [`Reader`], the
//!   [`Writer`] and the types that they know.
//! * [`record`]: record batches of format 2.
//! * [`schema`]: what the declarations say, as data.
//!
//! Decoding borrows from the frame and is bounded: it reads nothing outside the frame, allocates no more
//! than a fixed multiple of it, and answers every malformed input with a [`DecodeError`].
//! Encoding never copies record bytes that are shared (see [`primitives::Records`]).
//!
//! This crate knows no sockets, no files and no clock.

// The derive macro names this crate by its absolute path, also inside it.
extern crate self as quipu_protocol;

pub mod api_key;
pub mod error_code;
pub mod header;
pub mod message;
pub mod primitives;
pub mod record;
pub mod schema;

pub use api_key::ApiKey;
pub use error_code::ErrorCode;
pub use quipu_protocol_derive::Message;

use primitives::{DecodeError, Reader, Writer};
use std::ops::RangeInclusive;

/// A value that can be read from the wire.
pub trait Decode<'a>: Sized {
    /// Reads the value in the form that `version` has.
    ///
    /// A top-level message checks `version` and decides whether the form is flexible; a part of a message
    /// takes that from the reader. Bytes behind the value stay in the reader.
    ///
    /// # Errors
    /// Any [`DecodeError`]; what the reader holds afterwards is unspecified.
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError>;

    /// Reads the value where null is allowed. Structs have a marker byte, −1 for null and 1 else; types
    /// that begin with a length use the length for it.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    #[inline]
    fn decode_nullable(r: &mut Reader<'a>, version: i16) -> Result<Option<Self>, DecodeError> {
        match r.read_i8()? {
            -1 => Ok(None),
            1 => Self::decode(r, version).map(Some),
            marker => Err(DecodeError::InvalidNullMarker { marker }),
        }
    }
}

/// A value that can be written to the wire.
pub trait Encode {
    /// Writes the value in the form that `version` has. Fields that the version lacks are left out,
    /// whatever they hold. A null where the version has none is written as the empty value.
    ///
    /// # Panics
    /// With debug assertions, if a top-level message has no such version.
    fn encode(&self, w: &mut Writer, version: i16);

    /// Writes the value, or null, where null is allowed.
    #[inline]
    fn encode_nullable(value: Option<&Self>, w: &mut Writer, version: i16)
    where
        Self: Sized,
    {
        match value {
            None => w.put_i8(-1),
            Some(value) => {
                w.put_i8(1);
                value.encode(w, version);
            }
        }
    }
}

/// A top-level message: the body of a request or response, or data inside one.
pub trait Message: Encode {
    /// Kafka's name, for example `FetchRequest`.
    const NAME: &'static str;
    /// Request, response or data.
    const KIND: schema::MessageKind;
    /// The API that the message belongs to; `None` for data.
    const API_KEY: Option<i16>;
    /// The versions that exist.
    const VERSIONS: RangeInclusive<i16>;
    /// Whether Kafka calls the highest version unstable: not to be advertised by default.
    const LATEST_UNSTABLE: bool;
    /// The first version with compact lengths and tagged fields (KIP-482).
    const FLEXIBLE: Option<i16>;
    /// The declaration as data.
    const SCHEMA: &'static schema::StructSchema;
}
