//! The bounded reader.

use crate::Decode;
use crate::schema::Field;
use std::fmt;

/// The most elements of one array, as in Kafka 4.4.
pub const MAX_ARRAY_ELEMENTS: usize = 1_000_000;
/// The most elements that are reserved on the word of a count, as in Kafka 4.4.
pub const MAX_INITIAL_CAPACITY: usize = 1_000;
/// The most tagged fields of one struct, as in Kafka 4.4.
pub const MAX_TAGGED_FIELDS: u32 = 10_000;
/// The longest string, also in the compact form.
pub const MAX_STRING_BYTES: usize = i16::MAX as usize;

/// Why bytes are not the message that they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end inside a value.
    UnexpectedEnd {
        /// Bytes that the value still needs.
        needed: usize,
        /// Bytes that there are.
        remaining: usize,
    },
    /// A null, or another negative length, where the version has none.
    UnexpectedNull,
    /// A string longer than [`MAX_STRING_BYTES`].
    StringTooLong {
        /// The declared length in bytes.
        length: usize,
    },
    /// A string that is not UTF-8.
    InvalidUtf8,
    /// More elements than the remaining bytes can hold, or than [`MAX_ARRAY_ELEMENTS`].
    ArrayTooLong {
        /// The declared count.
        count: usize,
        /// The most that was possible here.
        limit: usize,
    },
    /// A varint of more bytes or bits than its type has.
    VarintTooLong,
    /// A negative length that is not −1.
    InvalidLength {
        /// The declared length.
        length: i64,
    },
    /// A struct that may be null begins with neither −1 nor 1.
    InvalidNullMarker {
        /// The byte that was found.
        marker: i8,
    },
    /// More than [`MAX_TAGGED_FIELDS`] in one struct, or more than the remaining bytes can hold.
    TooManyTaggedFields {
        /// The declared count.
        count: u32,
    },
    /// A tagged field is shorter than its declared size.
    TaggedFieldSize {
        /// Bytes left over.
        unread: usize,
    },
    /// The message has no such version.
    UnsupportedVersion {
        /// Kafka's name of the message.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A request for an API that does not exist, or that no client may use.
    UnknownApiKey {
        /// The key.
        key: i16,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedEnd { needed, remaining } => {
                write!(f, "a value needs {needed} bytes, {remaining} are left")
            }
            Self::UnexpectedNull => f.write_str("null where the version has none"),
            Self::StringTooLong { length } => {
                write!(f, "a string of {length} bytes, the limit is {MAX_STRING_BYTES}")
            }
            Self::InvalidUtf8 => f.write_str("a string is not UTF-8"),
            Self::ArrayTooLong { count, limit } => {
                write!(f, "an array of {count} elements, at most {limit} are possible")
            }
            Self::VarintTooLong => f.write_str("a variable-length number is too long"),
            Self::InvalidLength { length } => write!(f, "the length {length} is neither valid nor null"),
            Self::InvalidNullMarker { marker } => {
                write!(f, "a struct begins with {marker} instead of -1 or 1")
            }
            Self::TooManyTaggedFields { count } => write!(f, "{count} tagged fields are too many"),
            Self::TaggedFieldSize { unread } => {
                write!(f, "a tagged field is {unread} bytes shorter than declared")
            }
            Self::UnsupportedVersion { message, version } => write!(f, "{message} has no version {version}"),
            Self::UnknownApiKey { key } => write!(f, "no API has the key {key}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads values from a slice, never past its end.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Whether lengths are compact and structs end with tagged fields. Top-level messages set it.
    pub flexible: bool,
}

macro_rules! read_number {
    ($($(#[$doc:meta])* $name:ident: $ty:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// If the bytes end.
        #[inline]
        pub fn $name(&mut self) -> Result<$ty, DecodeError> {
            self.read_array().map(<$ty>::from_be_bytes)
        }
    )*};
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`, in the form of versions that are not flexible.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, flexible: false }
    }

    /// The number of bytes not yet read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes not yet read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads `length` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    #[inline]
    pub fn read_bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(length) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(DecodeError::UnexpectedEnd { needed: length, remaining: self.rest.len() }),
        }
    }

    /// Reads exactly `N` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    #[inline]
    pub fn read_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(*bytes)
            }
            None => Err(DecodeError::UnexpectedEnd { needed: N, remaining: self.rest.len() }),
        }
    }

    read_number! {
        /// Reads a signed byte.
        read_i8: i8;
        /// Reads an unsigned byte.
        read_u8: u8;
        /// Reads 16 bits, signed.
        read_i16: i16;
        /// Reads 16 bits, unsigned.
        read_u16: u16;
        /// Reads 32 bits, signed.
        read_i32: i32;
        /// Reads 32 bits, unsigned.
        read_u32: u32;
        /// Reads 64 bits, signed.
        read_i64: i64;
        /// Reads a double.
        read_f64: f64;
    }

    /// Reads an unsigned number of at most 32 bits in one to five groups of seven bits, lowest first.
    ///
    /// # Errors
    /// If the bytes end, or the number has more than five bytes or 32 bits.
    #[inline]
    pub fn read_unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let first = self.read_u8()?;
        if first < 0x80 {
            return Ok(u32::from(first));
        }
        let value = self.continue_varint(first, 5)?;
        u32::try_from(value).map_err(|_| DecodeError::VarintTooLong)
    }

    /// Reads an unsigned number of at most 64 bits in one to ten groups of seven bits, lowest first.
    ///
    /// # Errors
    /// If the bytes end, or the number has more than ten bytes or 64 bits.
    #[inline]
    pub fn read_unsigned_varlong(&mut self) -> Result<u64, DecodeError> {
        let first = self.read_u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        self.continue_varint(first, 10)
    }

    /// Reads a zigzag-coded number of 32 bits.
    ///
    /// # Errors
    /// As [`Reader::read_unsigned_varint`].
    #[inline]
    pub fn read_varint(&mut self) -> Result<i32, DecodeError> {
        let value = self.read_unsigned_varint()?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    /// Reads a zigzag-coded number of 64 bits.
    ///
    /// # Errors
    /// As [`Reader::read_unsigned_varlong`].
    #[inline]
    pub fn read_varlong(&mut self) -> Result<i64, DecodeError> {
        let value = self.read_unsigned_varlong()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn continue_varint(&mut self, first: u8, max_bytes: u32) -> Result<u64, DecodeError> {
        let mut value = u64::from(first & 0x7f);
        for index in 1..max_bytes {
            let byte = self.read_u8()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth group has room for one bit.
            if index == 9 && bits > 1 {
                return Err(DecodeError::VarintTooLong);
            }
            value |= bits << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// Reads the length of a string: 16 bits, or compact. `None` is null.
    #[inline]
    pub(crate) fn read_string_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let length =
            if self.flexible { self.read_compact_length()? } else { length_of(self.read_i16()?.into())? };
        match length {
            Some(length) if length > MAX_STRING_BYTES => Err(DecodeError::StringTooLong { length }),
            length => Ok(length),
        }
    }

    /// Reads the length of bytes or the count of an array: 32 bits, or compact. `None` is null.
    #[inline]
    pub(crate) fn read_length(&mut self) -> Result<Option<usize>, DecodeError> {
        if self.flexible { self.read_compact_length() } else { length_of(self.read_i32()?.into()) }
    }

    #[inline]
    fn read_compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.read_unsigned_varint()?.checked_sub(1).map(|length| length as usize))
    }

    /// Reads an array; `None` is null.
    #[inline]
    pub(crate) fn read_elements<T: Decode<'a> + Field>(
        &mut self,
        version: i16,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.read_length()? else { return Ok(None) };
        if count == 0 {
            return Ok(Some(Vec::new()));
        }
        // No element is without bytes (a test holds every message to it), so the count is bounded by the
        // bytes, and so is the memory for the elements.
        let limit = self.rest.len() / T::min_bytes(version, self.flexible).max(1);
        let limit = limit.min(MAX_ARRAY_ELEMENTS);
        if count > limit {
            return Err(DecodeError::ArrayTooLong { count, limit });
        }
        let mut elements = Vec::with_capacity(count.min(MAX_INITIAL_CAPACITY));
        for _ in 0..count {
            elements.push(T::decode(self, version)?);
        }
        Ok(Some(elements))
    }

    /// Reads the number of tagged fields at the end of a struct.
    ///
    /// # Errors
    /// If the bytes end or there are too many.
    #[inline]
    pub fn read_tag_count(&mut self) -> Result<u32, DecodeError> {
        let count = self.read_unsigned_varint()?;
        // A tagged field has at least a tag and a size.
        if count > MAX_TAGGED_FIELDS || count as usize > self.rest.len() / 2 {
            return Err(DecodeError::TooManyTaggedFields { count });
        }
        Ok(count)
    }

    /// Reads a tag and the size of its field, and narrows the reader to the field. The second value is
    /// for [`Reader::leave_tag`].
    ///
    /// # Errors
    /// If the bytes end.
    #[inline]
    pub fn enter_tag(&mut self) -> Result<(u32, &'a [u8]), DecodeError> {
        let tag = self.read_unsigned_varint()?;
        let size = self.read_unsigned_varint()? as usize;
        let field = self.read_bytes(size)?;
        let outer = std::mem::replace(&mut self.rest, field);
        Ok((tag, outer))
    }

    /// Widens the reader again after a tagged field.
    ///
    /// # Errors
    /// If the field was not read to its end.
    #[inline]
    pub fn leave_tag(&mut self, outer: &'a [u8]) -> Result<(), DecodeError> {
        let unread = std::mem::replace(&mut self.rest, outer).len();
        if unread == 0 { Ok(()) } else { Err(DecodeError::TaggedFieldSize { unread }) }
    }

    /// Skips what is left, or what is left of a tagged field.
    #[inline]
    pub fn skip_rest(&mut self) {
        self.rest = &[];
    }

    /// Skips the tagged fields of a struct that declares none.
    ///
    /// # Errors
    /// If they are malformed.
    #[inline]
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.read_tag_count()? {
            let (_, outer) = self.enter_tag()?;
            self.rest = outer;
        }
        Ok(())
    }
}

#[inline]
fn length_of(length: i64) -> Result<Option<usize>, DecodeError> {
    match usize::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(DecodeError::InvalidLength { length }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_bounded() {
        let read = |bytes: &[u8]| Reader::new(bytes).read_unsigned_varint();
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(DecodeError::VarintTooLong));
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(DecodeError::VarintTooLong));
        assert_eq!(read(&[0x80]), Err(DecodeError::UnexpectedEnd { needed: 1, remaining: 0 }));

        let read = |bytes: &[u8]| Reader::new(bytes).read_varlong();
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Ok(i64::MIN));
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            Err(DecodeError::VarintTooLong)
        );
    }
}
