//! The writer, and what it makes.

use super::read::MAX_STRING_BYTES;
use crate::error_code::ErrorCode;
use bytes::Bytes;
use std::io::IoSlice;

/// Collects one buffer, and beside it the record bytes that are sent from where they are.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    parts: Vec<(usize, Bytes)>,
    error: ErrorCode,
    /// Whether lengths are compact and structs end with tagged fields. Top-level messages set it.
    pub flexible: bool,
}

macro_rules! put_number {
    ($($(#[$doc:meta])* $name:ident: $ty:ty;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name(&mut self, value: $ty) {
            self.buffer.extend_from_slice(&value.to_be_bytes());
        }
    )*};
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), parts: Vec::new(), error: ErrorCode::NONE, flexible: false }
    }

    /// An empty writer that uses the memory of `buffer`, for example from [`Frame::into_buffer`].
    #[must_use]
    pub fn with_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { buffer, parts: Vec::new(), error: ErrorCode::NONE, flexible: false }
    }

    /// The number of bytes written, shared record bytes included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len() + self.parts.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.parts.is_empty()
    }

    /// What was written, in pieces.
    #[must_use]
    pub fn into_frame(self) -> Frame {
        Frame { head: self.buffer, parts: self.parts, error: self.error }
    }

    /// What was written, in one piece; copies shared record bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        if self.parts.is_empty() { self.buffer } else { self.into_frame().to_vec() }
    }

    put_number! {
        /// Writes a signed byte.
        put_i8: i8;
        /// Writes an unsigned byte.
        put_u8: u8;
        /// Writes 16 bits, signed.
        put_i16: i16;
        /// Writes 16 bits, unsigned.
        put_u16: u16;
        /// Writes 32 bits, signed.
        put_i32: i32;
        /// Writes 32 bits, unsigned.
        put_u32: u32;
        /// Writes 64 bits, signed.
        put_i64: i64;
        /// Writes a double.
        put_f64: f64;
    }

    /// Writes an error code, and remembers the first that is one, for [`Frame::error`].
    #[inline]
    pub fn put_error_code(&mut self, code: ErrorCode) {
        if self.error == ErrorCode::NONE {
            self.error = code;
        }
        self.put_i16(code.0);
    }

    /// Writes bytes without a length.
    #[inline]
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Places bytes without a length and without copying them.
    #[inline]
    pub fn put_shared(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.parts.push((self.buffer.len(), bytes));
        }
    }

    /// Writes an unsigned number in groups of seven bits, lowest first.
    #[inline]
    pub fn put_unsigned_varint(&mut self, value: u32) {
        self.put_unsigned_varlong(value.into());
    }

    /// Writes an unsigned number of 64 bits in groups of seven bits, lowest first.
    #[inline]
    pub fn put_unsigned_varlong(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }

    /// Writes a zigzag-coded number of 32 bits.
    #[inline]
    pub fn put_varint(&mut self, value: i32) {
        self.put_unsigned_varint((value << 1 ^ value >> 31) as u32);
    }

    /// Writes a zigzag-coded number of 64 bits.
    #[inline]
    pub fn put_varlong(&mut self, value: i64) {
        self.put_unsigned_varlong((value << 1 ^ value >> 63) as u64);
    }

    /// Writes a string with its length, or null. A string beyond [`MAX_STRING_BYTES`], which no reader
    /// would take, is cut there (at a character).
    #[inline]
    pub fn put_string(&mut self, value: Option<&str>) {
        let value = value.map(|value| {
            if value.len() <= MAX_STRING_BYTES {
                value
            } else {
                &value[..value.floor_char_boundary(MAX_STRING_BYTES)]
            }
        });
        match (value, self.flexible) {
            (None, true) => self.put_u8(0),
            (None, false) => self.put_i16(-1),
            (Some(value), true) => self.put_unsigned_varint(value.len() as u32 + 1),
            (Some(value), false) => self.put_i16(value.len() as i16),
        }
        self.put_bytes(value.unwrap_or_default().as_bytes());
    }

    /// Writes the length of bytes or the count of an array, or null.
    ///
    /// # Panics
    /// If the length does not fit 31 bits: no caller may build such a message.
    #[inline]
    pub fn put_length(&mut self, length: Option<usize>) {
        match (length, self.flexible) {
            (None, true) => self.put_u8(0),
            (None, false) => self.put_i32(-1),
            (Some(length), flexible) => {
                let length = i32::try_from(length).expect("a length fits 31 bits");
                if flexible { self.put_unsigned_varint(length as u32 + 1) } else { self.put_i32(length) }
            }
        }
    }

    /// Begins a tagged field; the result is for [`Writer::close_tag`].
    #[inline]
    pub fn open_tag(&mut self, tag: u32) -> usize {
        self.put_unsigned_varint(tag);
        // Nearly every field is shorter than 128 bytes: its size has one byte.
        self.put_u8(0);
        self.buffer.len()
    }

    /// Ends a tagged field: writes its size in front of it.
    pub fn close_tag(&mut self, start: usize) {
        let shared = self.parts.iter().rev().take_while(|(position, _)| *position >= start);
        let size = self.buffer.len() - start + shared.map(|(_, bytes)| bytes.len()).sum::<usize>();
        if size < 0x80 {
            self.buffer[start - 1] = size as u8;
            return;
        }
        let mut prefix = Writer::new();
        prefix.put_unsigned_varint(u32::try_from(size).expect("a size fits 32 bits"));
        let grown = prefix.buffer.len() - 1;
        self.buffer.splice(start - 1..start, prefix.buffer);
        for (position, _) in self.parts.iter_mut().rev().take_while(|(position, _)| *position >= start) {
            *position += grown;
        }
    }

    /// Overwrites the four bytes at `position`.
    pub(crate) fn set_i32(&mut self, position: usize, value: i32) {
        self.buffer[position..position + 4].copy_from_slice(&value.to_be_bytes());
    }
}

/// Bytes ready for the wire: a buffer, and record bytes that belong between its bytes.
#[derive(Debug, Default, Clone)]
pub struct Frame {
    /// Everything but shared record bytes.
    pub head: Vec<u8>,
    /// Record bytes and the position in `head` in front of which they belong, in order.
    pub parts: Vec<(usize, Bytes)>,
    /// The first error code in it that is not [`ErrorCode::NONE`].
    pub error: ErrorCode,
}

impl Frame {
    /// The number of bytes on the wire.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.parts.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.parts.is_empty()
    }

    /// The pieces in wire order, none of them empty.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut position = 0;
        let between = self.parts.iter().flat_map(move |(end, part)| {
            let before = &self.head[position..*end];
            position = *end;
            [before, &part[..]]
        });
        let last = self.parts.last().map_or(0, |(end, _)| *end);
        between.chain([&self.head[last..]]).filter(|slice| !slice.is_empty())
    }

    /// The pieces for a vectored write that begins `skip` bytes into the frame.
    pub fn io_slices(&self, skip: usize) -> impl Iterator<Item = IoSlice<'_>> {
        let mut left = skip;
        self.slices().filter_map(move |slice| {
            let skipped = left.min(slice.len());
            left -= skipped;
            let rest = &slice[skipped..];
            (!rest.is_empty()).then(|| IoSlice::new(rest))
        })
    }

    /// The bytes in one piece.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        for slice in self.slices() {
            bytes.extend_from_slice(slice);
        }
        bytes
    }

    /// Lets the record bytes go and keeps the buffer, for [`Writer::with_buffer`].
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_bytes_keep_their_place() {
        let mut w = Writer::new();
        w.put_u8(1);
        let start = w.open_tag(7);
        w.put_u8(2);
        w.put_shared(Bytes::from(vec![9; 200]));
        w.put_u8(3);
        w.close_tag(start);
        w.put_u8(4);
        let frame = w.into_frame();
        let mut expected = vec![1, 7, 0xca, 0x01, 2];
        expected.extend([9; 200]);
        expected.extend([3, 4]);
        assert_eq!(frame.to_vec(), expected);
        assert_eq!(frame.len(), expected.len());
        for skip in 0..=expected.len() {
            let rest: Vec<u8> = frame.io_slices(skip).flat_map(|slice| slice.to_vec()).collect();
            assert_eq!(rest, expected[skip..]);
        }
    }

    #[test]
    fn the_first_error_is_remembered() {
        let mut w = Writer::new();
        for code in [ErrorCode::NONE, ErrorCode::OFFSET_OUT_OF_RANGE, ErrorCode::NONE, ErrorCode(7)] {
            w.put_error_code(code);
        }
        let frame = w.into_frame();
        assert_eq!(
            (frame.error, &frame.head[..]),
            (ErrorCode::OFFSET_OUT_OF_RANGE, &[0, 0, 0, 1, 0, 0, 0, 7][..])
        );
    }

    #[test]
    fn long_strings_are_cut_at_a_character() {
        let mut w = Writer::new();
        w.put_string(Some(&"é".repeat(20_000)));
        let bytes = w.into_bytes();
        assert_eq!(bytes[..2], 32_766i16.to_be_bytes());
        assert_eq!(bytes.len(), 2 + 32_766);
    }
}
