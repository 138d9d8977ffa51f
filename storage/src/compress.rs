//! The four codecs of Kafka, both ways, with an upper bound on what comes out.

use std::fmt;
use std::io::{self, Read, Write};

/// How the records of a batch are compressed. The numbers are those of the batch attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    #[default]
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Written in the framing of the Java client; read raw or framed.
    Snappy = 2,
    /// LZ4 frame format.
    Lz4 = 3,
    /// RFC 8878.
    Zstd = 4,
}

impl Codec {
    /// All codecs, by number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with a number, if it is assigned.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The number in the batch attributes.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The name in Kafka's `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Codec {
    type Err = UnknownCodec;

    /// Reads a name of `compression.type`; `uncompressed` is another word for none.
    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        if name == "uncompressed" {
            return Ok(Self::None);
        }
        Self::ALL.into_iter().find(|codec| codec.name() == name).ok_or(UnknownCodec)
    }
}

/// The name of a codec is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCodec;

impl fmt::Display for UnknownCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a codec; known are none, gzip, snappy, lz4 and zstd")
    }
}

impl std::error::Error for UnknownCodec {}

/// Why bytes did not decompress.
#[derive(Debug)]
pub enum DecompressError {
    /// They would expand beyond the limit.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// They are not of the codec, or damaged.
    Invalid(io::Error),
}

impl fmt::Display for DecompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "expands beyond {limit} bytes"),
            Self::Invalid(error) => write!(f, "cannot be decompressed: {error}"),
        }
    }
}

impl std::error::Error for DecompressError {}

impl From<io::Error> for DecompressError {
    fn from(error: io::Error) -> Self {
        Self::Invalid(error)
    }
}

/// Greatest size that anything is expanded to.
pub const EXPANDED_BYTES_MAX: usize = 64 << 20;

/// How far `compressed` bytes may expand: a hundredfold and 64 KiB, at most 64 MiB, and never less than they are.
pub fn expansion_limit(compressed: usize) -> usize {
    compressed.saturating_mul(100).saturating_add(64 << 10).min(EXPANDED_BYTES_MAX).max(compressed)
}

/// Expands `bytes`, to `limit` bytes at most.
pub fn decompress(codec: Codec, bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    match codec {
        Codec::None => {
            if bytes.len() > limit {
                return Err(DecompressError::TooLarge { limit });
            }
            Ok(bytes.to_vec())
        }
        Codec::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(bytes), limit),
        Codec::Snappy => unsnap(bytes, limit),
        Codec::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(bytes), limit),
        Codec::Zstd => read_bounded(zstd::stream::read::Decoder::with_buffer(bytes)?, limit),
    }
}

/// Compresses `bytes`. The level counts for gzip (1 to 9) and zstd (-131072 to 22); the others have none.
pub fn compress(codec: Codec, level: Option<i32>, bytes: &[u8]) -> io::Result<Vec<u8>> {
    match codec {
        Codec::None => Ok(bytes.to_vec()),
        Codec::Gzip => {
            let level = match level {
                Some(level) => flate2::Compression::new(level.clamp(1, 9) as u32),
                None => flate2::Compression::default(),
            };
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes)?;
            encoder.finish()
        }
        Codec::Snappy => snap_framed(bytes),
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(bytes)?;
            encoder.finish().map_err(io::Error::other)
        }
        Codec::Zstd => zstd::stream::encode_all(bytes, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL)),
    }
}

fn read_bounded(reader: impl Read, limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut out)?;
    if out.len() > limit {
        return Err(DecompressError::TooLarge { limit });
    }
    Ok(out)
}

/// The Java client's framing: this, then version and lowest compatible version, then blocks that are each preceded by
/// their length. All numbers are i32, big-endian.
const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;
const XERIAL_BLOCK_BYTES: usize = 32 << 10;

fn unsnap(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    if !bytes.starts_with(XERIAL_MAGIC) {
        unsnap_block(bytes, &mut out, limit)?;
        return Ok(out);
    }
    let cut = || DecompressError::Invalid(io::ErrorKind::UnexpectedEof.into());
    let mut rest = bytes.get(XERIAL_HEADER_BYTES..).ok_or_else(cut)?;
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| cut())?;
        let (block, tail) = tail.split_at_checked(length).ok_or_else(cut)?;
        unsnap_block(block, &mut out, limit)?;
        rest = tail;
    }
    Ok(out)
}

fn unsnap_block(block: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), DecompressError> {
    let expanded = snap::raw::decompress_len(block).map_err(io::Error::from)?;
    if expanded > limit.saturating_sub(out.len()) {
        return Err(DecompressError::TooLarge { limit });
    }
    let start = out.len();
    out.resize(start + expanded, 0);
    snap::raw::Decoder::new().decompress(block, &mut out[start..]).map_err(io::Error::from)?;
    Ok(())
}

fn snap_framed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(XERIAL_HEADER_BYTES + bytes.len() / 2);
    out.extend_from_slice(XERIAL_MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(XERIAL_BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block)?;
        out.extend_from_slice(&(compressed.len() as i32).to_be_bytes());
        out.extend_from_slice(&compressed);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn raw_snappy_is_read_too() {
        let text = b"knots in a cord, knots in a cord".repeat(100);
        let raw = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        assert_eq!(decompress(Codec::Snappy, &raw, text.len()).unwrap(), text);
    }

    #[test]
    fn nothing_expands_beyond_its_limit() {
        let bomb = vec![0; 4 << 20];
        for codec in Codec::ALL {
            let small = compress(codec, None, &bomb).unwrap();
            for limit in [0, 1, bomb.len() - 1] {
                let result = decompress(codec, &small, limit);
                assert!(matches!(result, Err(DecompressError::TooLarge { .. })), "{codec} {limit}");
            }
            assert_eq!(decompress(codec, &small, bomb.len()).unwrap(), bomb, "{codec}");
        }
    }

    #[test]
    fn a_snappy_length_bomb_takes_no_memory() {
        // A block that claims to expand to 4 GiB - 1.
        assert!(decompress(Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0], 1 << 20).is_err());
    }

    #[test]
    fn names_and_numbers_agree() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_number(codec.number()), Some(codec));
            assert_eq!(codec.name().parse(), Ok(codec));
        }
        assert_eq!(Codec::from_number(5), None);
        assert_eq!("lzma".parse::<Codec>(), Err(UnknownCodec));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_codec_round_trips(bytes: Vec<u8>, repeat in 1usize..2_000, level in -5i32..12) {
            let bytes = bytes.repeat(repeat);
            for codec in Codec::ALL {
                let small = compress(codec, Some(level), &bytes).unwrap();
                prop_assert_eq!(&decompress(codec, &small, bytes.len()).unwrap(), &bytes);
            }
        }

        #[test]
        fn garbage_is_an_error_or_something_bounded(bytes: Vec<u8>, framed: bool) {
            let mut bytes = bytes;
            if framed {
                bytes.splice(0..0, XERIAL_MAGIC.iter().copied());
            }
            for codec in Codec::ALL {
                if let Ok(out) = decompress(codec, &bytes, 1 << 16) {
                    prop_assert!(out.len() <= 1 << 16);
                }
            }
        }
    }
}
