//! Kafka's identifiers of topics, members and directories.

use std::fmt;
use std::str::FromStr;

/// 16 bytes, shown as 22 characters of URL-safe base64 without padding, as Kafka does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LENGTH: usize = 22;

impl Uuid {
    /// All zero: no identifier.
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// Whether this is [`Uuid::ZERO`].
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 128 bits and 4 bits of padding make 22 digits.
        let bits = u128::from_be_bytes(self.0);
        let mut text = [0u8; TEXT_LENGTH];
        for (index, digit) in text.iter_mut().enumerate() {
            let value = if index == TEXT_LENGTH - 1 { bits << 4 } else { bits >> (122 - 6 * index) };
            *digit = ALPHABET[(value & 63) as usize];
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no [`Uuid`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseUuidError;

impl fmt::Display for ParseUuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not 16 bytes of URL-safe base64")
    }
}

impl std::error::Error for ParseUuidError {}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    /// Reads 22 digits; padding with `==` is allowed, as in Kafka.
    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let digits = text.strip_suffix("==").unwrap_or(text).as_bytes();
        if digits.len() != TEXT_LENGTH {
            return Err(ParseUuidError);
        }
        let mut bits = 0u128;
        for (index, digit) in digits.iter().enumerate() {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return Err(ParseUuidError),
            };
            // The last digit carries two bits; Java ignores the other four and so does this.
            bits = if index == TEXT_LENGTH - 1 {
                bits << 2 | u128::from(value >> 4)
            } else {
                bits << 6 | u128::from(value)
            };
        }
        Ok(Uuid(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_and_reads_kafkas_form() {
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        // Kafka's reserved identifier of the metadata topic.
        assert_eq!(Uuid(1u128.to_be_bytes()).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
        for seed in 0..=255u8 {
            let uuid =
                Uuid(std::array::from_fn(|index| seed.wrapping_mul(31).wrapping_add(index as u8 * 17)));
            assert_eq!(uuid.to_string().parse(), Ok(uuid));
        }
        assert_eq!("".parse::<Uuid>(), Err(ParseUuidError));
        assert_eq!("AAAAAAAAAAAAAAAAAAAAA+".parse::<Uuid>(), Err(ParseUuidError));
    }
}
