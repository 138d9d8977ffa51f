//! The wire forms of the types that fields have.

use super::{Blob, DecodeError, Reader, Str, Uuid, Writer};
use crate::error_code::ErrorCode;
use crate::schema::{Field, FieldType};
use crate::{Decode, Encode};
use bytes::Bytes;
use std::borrow::Cow;

/// Record batches as they are on the wire, without their length.
#[derive(Debug, Clone)]
pub enum Records<'a> {
    /// A slice of a frame, as decoding gives it. Encoding copies it.
    Borrowed(&'a [u8]),
    /// Slices of maps or buffers, sent one after the other without a copy.
    Shared(Vec<Bytes>),
}

impl Records<'_> {
    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Borrowed(bytes) => bytes.len(),
            Self::Shared(slices) => slices.iter().map(Bytes::len).sum(),
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes in one piece, copied if they are in several.
    #[must_use]
    pub fn to_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Borrowed(bytes) => Cow::Borrowed(bytes),
            Self::Shared(slices) => match &slices[..] {
                [] => Cow::Borrowed(&[]),
                [only] => Cow::Borrowed(only),
                several => Cow::Owned(several.concat()),
            },
        }
    }

    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let (borrowed, shared): (&[u8], &[Bytes]) = match self {
            Self::Borrowed(bytes) => (bytes, &[]),
            Self::Shared(slices) => (&[], slices),
        };
        std::iter::once(borrowed).chain(shared.iter().map(|bytes| &bytes[..]))
    }
}

impl Default for Records<'_> {
    fn default() -> Self {
        Self::Borrowed(&[])
    }
}

/// Equal if the bytes are, however they are divided.
impl PartialEq for Records<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.slices().flatten().eq(other.slices().flatten())
    }
}

macro_rules! fixed {
    ($($ty:ty: $kind:ident, $bytes:literal, $read:ident, $put:ident;)*) => {$(
        impl Decode<'_> for $ty {
            #[inline]
            fn decode(r: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
                r.$read()
            }
        }

        impl Encode for $ty {
            #[inline]
            fn encode(&self, w: &mut Writer, _: i16) {
                w.$put(*self);
            }
        }

        impl Field for $ty {
            const TYPE: FieldType = FieldType::$kind;
            #[inline]
            fn min_bytes(_: i16, _: bool) -> usize {
                $bytes
            }
        }
    )*};
}

fixed! {
    i8: Int8, 1, read_i8, put_i8;
    i16: Int16, 2, read_i16, put_i16;
    u16: Uint16, 2, read_u16, put_u16;
    i32: Int32, 4, read_i32, put_i32;
    u32: Uint32, 4, read_u32, put_u32;
    i64: Int64, 8, read_i64, put_i64;
    f64: Float64, 8, read_f64, put_f64;
}

impl Decode<'_> for bool {
    #[inline]
    fn decode(r: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
        Ok(r.read_u8()? != 0)
    }
}

impl Encode for bool {
    #[inline]
    fn encode(&self, w: &mut Writer, _: i16) {
        w.put_u8(u8::from(*self));
    }
}

impl Decode<'_> for ErrorCode {
    #[inline]
    fn decode(r: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
        r.read_i16().map(ErrorCode)
    }
}

impl Encode for ErrorCode {
    #[inline]
    fn encode(&self, w: &mut Writer, _: i16) {
        w.put_error_code(*self);
    }
}

impl Decode<'_> for Uuid {
    #[inline]
    fn decode(r: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
        r.read_array().map(Uuid)
    }
}

impl Encode for Uuid {
    #[inline]
    fn encode(&self, w: &mut Writer, _: i16) {
        w.put_bytes(&self.0);
    }
}

impl<'a> Decode<'a> for Str<'a> {
    #[inline]
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {
        Self::decode_nullable(r, version)?.ok_or(DecodeError::UnexpectedNull)
    }

    #[inline]
    fn decode_nullable(r: &mut Reader<'a>, _: i16) -> Result<Option<Self>, DecodeError> {
        let Some(length) = r.read_string_length()? else { return Ok(None) };
        let text = std::str::from_utf8(r.read_bytes(length)?).map_err(|_| DecodeError::InvalidUtf8)?;
        Ok(Some(Cow::Borrowed(text)))
    }
}

impl Encode for Str<'_> {
    #[inline]
    fn encode(&self, w: &mut Writer, _: i16) {
        w.put_string(Some(self));
    }

    #[inline]
    fn encode_nullable(value: Option<&Self>, w: &mut Writer, _: i16) {
        w.put_string(value.map(|value| &**value));
    }
}

impl<'a> Decode<'a> for Blob<'a> {
    #[inline]
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {
        Self::decode_nullable(r, version)?.ok_or(DecodeError::UnexpectedNull)
    }

    #[inline]
    fn decode_nullable(r: &mut Reader<'a>, _: i16) -> Result<Option<Self>, DecodeError> {
        let Some(length) = r.read_length()? else { return Ok(None) };
        r.read_bytes(length).map(|bytes| Some(Cow::Borrowed(bytes)))
    }
}

impl Encode for Blob<'_> {
    #[inline]
    fn encode(&self, w: &mut Writer, version: i16) {
        Self::encode_nullable(Some(self), w, version);
    }

    #[inline]
    fn encode_nullable(value: Option<&Self>, w: &mut Writer, _: i16) {
        w.put_length(value.map(|bytes| bytes.len()));
        w.put_bytes(value.map_or(&[], |bytes| bytes));
    }
}

impl<'a> Decode<'a> for Records<'a> {
    #[inline]
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {
        Self::decode_nullable(r, version)?.ok_or(DecodeError::UnexpectedNull)
    }

    #[inline]
    fn decode_nullable(r: &mut Reader<'a>, _: i16) -> Result<Option<Self>, DecodeError> {
        let Some(length) = r.read_length()? else { return Ok(None) };
        r.read_bytes(length).map(|bytes| Some(Records::Borrowed(bytes)))
    }
}

impl Encode for Records<'_> {
    #[inline]
    fn encode(&self, w: &mut Writer, version: i16) {
        Self::encode_nullable(Some(self), w, version);
    }

    #[inline]
    fn encode_nullable(value: Option<&Self>, w: &mut Writer, _: i16) {
        w.put_length(value.map(Records::len));
        match value {
            None => {}
            Some(Records::Borrowed(bytes)) => w.put_bytes(bytes),
            Some(Records::Shared(slices)) => slices.iter().for_each(|slice| w.put_shared(slice.clone())),
        }
    }
}

impl<'a, T: Decode<'a> + Field> Decode<'a> for Vec<T> {
    #[inline]
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {
        r.read_elements(version)?.ok_or(DecodeError::UnexpectedNull)
    }

    #[inline]
    fn decode_nullable(r: &mut Reader<'a>, version: i16) -> Result<Option<Self>, DecodeError> {
        r.read_elements(version)
    }
}

impl<T: Encode> Encode for Vec<T> {
    #[inline]
    fn encode(&self, w: &mut Writer, version: i16) {
        Self::encode_nullable(Some(self), w, version);
    }

    #[inline]
    fn encode_nullable(value: Option<&Self>, w: &mut Writer, version: i16) {
        w.put_length(value.map(Vec::len));
        for element in value.into_iter().flatten() {
            element.encode(w, version);
        }
    }
}

/// The kind of a type, and its fewest bytes in versions that are flexible and that are not.
macro_rules! field {
    ($($ty:ty: $kind:ident, $flexible:literal, $plain:literal;)*) => {$(
        impl Field for $ty {
            const TYPE: FieldType = FieldType::$kind;
            #[inline]
            fn min_bytes(_: i16, flexible: bool) -> usize {
                if flexible { $flexible } else { $plain }
            }
        }
    )*};
}

field! {
    bool: Bool, 1, 1;
    ErrorCode: Int16, 2, 2;
    Uuid: Uuid, 16, 16;
    Str<'_>: String, 1, 2;
    Blob<'_>: Bytes, 1, 4;
    Records<'_>: Records, 1, 4;
}

impl<T: Field> Field for Vec<T> {
    const TYPE: FieldType = FieldType::Array(&T::TYPE);

    #[inline]
    fn min_bytes(_: i16, flexible: bool) -> usize {
        if flexible { 1 } else { 4 }
    }
}
