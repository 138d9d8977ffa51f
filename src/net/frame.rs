//! Cuts frames out of a byte stream: a four-byte length, then that many bytes. Pure; no socket here.

use std::fmt;

/// Smallest request: API key, version and correlation id.
const HEADER_MIN_BYTES: usize = 8;

/// How large a frame may be.
#[derive(Clone, Copy, Debug)]
pub struct FrameLimits {
    /// Largest Produce request (`socket.request.max.bytes`).
    pub produce_bytes: usize,
    /// Largest request of any other kind.
    pub other_bytes: usize,
}

/// Why a connection's bytes are not Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The length is negative.
    Negative(i32),
    /// The length is too small to hold a request header.
    TooShort(usize),
    /// The length is above the limit for this kind of request.
    TooLarge {
        /// What the peer announced.
        bytes: usize,
        /// What it may send.
        limit: usize,
        /// No config raises that limit.
        is_fixed: bool,
    },
    /// The first bytes are a TLS hello.
    Tls,
    /// The first bytes are an HTTP request.
    Http,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Negative(length) => {
                write!(f, "a frame of negative length {length}; is this a Kafka client?")
            }
            Self::TooShort(length) => {
                write!(
                    f,
                    "a frame of {length} bytes, too short for a request header; is this a Kafka client?"
                )
            }
            Self::TooLarge { bytes, limit, is_fixed: false } => write!(
                f,
                "a frame of {bytes} bytes, above the limit of {limit}; if the client is right, raise socket.request.max.bytes"
            ),
            Self::TooLarge { bytes, limit, is_fixed: true } => write!(
                f,
                "a frame of {bytes} bytes, above the limit of {limit} for whatever is no Produce; ask for less at once"
            ),
            Self::Tls => f.write_str(
                "a TLS hello on a plaintext listener; set security.protocol=PLAINTEXT in the client",
            ),
            Self::Http => {
                f.write_str("an HTTP request on a Kafka listener; point the client at the HTTP port instead")
            }
        }
    }
}

/// Looks at the start of `bytes` for a frame. `Ok(Some(n))`: the first `n` bytes are a frame (length prefix
/// included), complete or not as `bytes.len() >= n` tells. `Ok(None)`: too little has come to know.
pub fn frame_bytes(bytes: &[u8], limits: FrameLimits) -> Result<Option<usize>, FrameError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    // 0x16 0x03: a TLS handshake record. As a length this would be 352 MiB or more.
    if prefix[0] == 0x16 && prefix[1] == 0x03 {
        return Err(FrameError::Tls);
    }
    if matches!(prefix, b"GET " | b"POST" | b"PUT " | b"HEAD") {
        return Err(FrameError::Http);
    }
    let length = i32::from_be_bytes(*prefix);
    if length < 0 {
        return Err(FrameError::Negative(length));
    }
    let length = length as usize;
    if length < HEADER_MIN_BYTES {
        return Err(FrameError::TooShort(length));
    }
    // The kind of request decides the limit; until its key has come, only the larger one can be told.
    let limit = match rest.first_chunk::<2>() {
        Some([0, 0]) | None => limits.produce_bytes,
        Some(_) => limits.other_bytes.min(limits.produce_bytes),
    };
    if length > limit {
        return Err(FrameError::TooLarge { bytes: length, limit, is_fixed: limit < limits.produce_bytes });
    }
    Ok(Some(4 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits = FrameLimits { produce_bytes: 1_000, other_bytes: 100 };

    fn frame(length: i32, key: i16) -> Vec<u8> {
        [&length.to_be_bytes()[..], &key.to_be_bytes()[..], &[0; 12][..]].concat()
    }

    #[test]
    fn a_frame_is_its_prefix_and_its_bytes() {
        assert_eq!(frame_bytes(&frame(14, 3), LIMITS), Ok(Some(18)));
        assert_eq!(frame_bytes(&frame(14, 3)[..3], LIMITS), Ok(None));
    }

    #[test]
    fn the_limit_depends_on_the_request() {
        assert_eq!(frame_bytes(&frame(500, 0), LIMITS), Ok(Some(504)));
        assert_eq!(
            frame_bytes(&frame(500, 1), LIMITS),
            Err(FrameError::TooLarge { bytes: 500, limit: 100, is_fixed: true })
        );
        assert_eq!(
            frame_bytes(&frame(1_001, 0), LIMITS),
            Err(FrameError::TooLarge { bytes: 1_001, limit: 1_000, is_fixed: false })
        );
        assert_eq!(
            frame_bytes(&i32::MAX.to_be_bytes(), LIMITS),
            Err(FrameError::TooLarge { bytes: i32::MAX as usize, limit: 1_000, is_fixed: false }),
            "refused before its key has come"
        );
    }

    #[test]
    fn strangers_are_told_apart() {
        assert_eq!(frame_bytes(&frame(-1, 0), LIMITS), Err(FrameError::Negative(-1)));
        assert_eq!(frame_bytes(&frame(0, 0), LIMITS), Err(FrameError::TooShort(0)));
        assert_eq!(frame_bytes(&[0x16, 3, 1, 2, 0], LIMITS), Err(FrameError::Tls));
        assert_eq!(frame_bytes(b"GET / HTTP/1.1\r\n", LIMITS), Err(FrameError::Http));
    }
}
