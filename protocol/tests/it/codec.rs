//! Every declared message behind one type, for tests that treat all alike.

use quipu_protocol::message::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use quipu_protocol::primitives::{DecodeError, Reader, Writer};
use quipu_protocol::schema::{MessageKind, StructSchema};
use quipu_protocol::{Decode, Encode, Message, message};
use std::ops::RangeInclusive;

/// One message: what is declared, and its functions.
pub(crate) struct Codec {
    pub(crate) name: &'static str,
    pub(crate) kind: MessageKind,
    pub(crate) key: Option<i16>,
    pub(crate) versions: RangeInclusive<i16>,
    pub(crate) latest_unstable: bool,
    pub(crate) flexible: Option<i16>,
    pub(crate) schema: &'static StructSchema,
    /// Decodes, and says how many bytes are left over.
    pub(crate) decode: fn(&[u8], i16) -> Result<usize, DecodeError>,
    /// Decodes, and encodes the result.
    pub(crate) recode: fn(&[u8], i16) -> Result<Vec<u8>, DecodeError>,
    /// Encodes the default.
    pub(crate) default: fn(i16) -> Vec<u8>,
}

impl Codec {
    pub(crate) fn is_flexible(&self, version: i16) -> bool {
        self.flexible.is_some_and(|first| version >= first)
    }
}

fn bytes_of(message: &impl Encode, version: i16) -> Vec<u8> {
    let mut w = Writer::new();
    message.encode(&mut w, version);
    w.into_bytes()
}

macro_rules! codec {
    ($($path:tt)*) => {
        Codec {
            name: <$($path)* as Message>::NAME,
            kind: <$($path)* as Message>::KIND,
            key: <$($path)* as Message>::API_KEY,
            versions: <$($path)* as Message>::VERSIONS,
            latest_unstable: <$($path)* as Message>::LATEST_UNSTABLE,
            flexible: <$($path)* as Message>::FLEXIBLE,
            schema: <$($path)* as Message>::SCHEMA,
            decode: |bytes, version| {
                let mut r = Reader::new(bytes);
                <$($path)*>::decode(&mut r, version)?;
                Ok(r.remaining())
            },
            recode: |bytes, version| {
                let message = <$($path)*>::decode(&mut Reader::new(bytes), version)?;
                Ok(bytes_of(&message, version))
            },
            default: |version| bytes_of(&<$($path)*>::default(), version),
        }
    };
}

macro_rules! codecs {
    ($($name:ident = $key:literal: $module:ident, $request:ident, $response:ident;)*) => {
        vec![
            $(codec!(message::$module::$request), codec!(message::$module::$response),)*
            codec!(ConsumerProtocolSubscription),
            codec!(ConsumerProtocolAssignment),
        ]
    };
}

/// All messages, in order of their keys, and then the data inside messages.
pub(crate) fn all() -> Vec<Codec> {
    quipu_protocol::for_each_api!(codecs)
}
