//! Request and response headers, and whole frames.
//!
//! ```text
//! request   length: i32 | key: i16 | version: i16 | correlation id: i32 | client id: string | tags? | body
//! response  length: i32 | correlation id: i32 | tags? | body
//! ```
//! The length counts what follows it. The tags are there if the header is flexible; the client id keeps
//! its old form even then, so that a broker can read it before it knows the version.

use crate::api_key::ApiKey;
use crate::primitives::{DecodeError, Frame, Reader, Str, Writer};
use crate::{Decode, Encode};

/// The header of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// The API, perhaps one that nobody knows.
    pub api_key: i16,
    /// The version of the request and of its answer.
    pub api_version: i16,
    /// Comes back in the answer.
    pub correlation_id: i32,
    /// The name that the client gave itself.
    pub client_id: Option<Str<'a>>,
}

impl<'a> RequestHeader<'a> {
    /// Reads the header; the reader then stands at the body.
    ///
    /// A version that the API lacks is no error here, since a broker answers it.
    ///
    /// # Errors
    /// [`DecodeError::UnknownApiKey`] if no client may send such a request, and others for malformed bytes.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let api_key = r.read_i16()?;
        let api_version = r.read_i16()?;
        let correlation_id = r.read_i32()?;
        let header_version = ApiKey::try_from(api_key)?.request_header_version(api_version);
        r.flexible = false;
        let client_id = Str::decode_nullable(r, header_version)?;
        if header_version >= 2 {
            r.skip_tags()?;
        }
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }

    /// Writes the header.
    ///
    /// # Panics
    /// If the key is none of [`ApiKey`].
    pub fn encode(&self, w: &mut Writer) {
        let api = ApiKey::try_from(self.api_key).expect("a request of a known API");
        w.put_i16(self.api_key);
        w.put_i16(self.api_version);
        w.put_i32(self.correlation_id);
        w.flexible = false;
        w.put_string(self.client_id.as_deref());
        if api.request_header_version(self.api_version) >= 2 {
            w.put_unsigned_varint(0);
        }
    }
}

/// Reads the header of a request from a frame without its length; the reader then stands at the body.
///
/// # Errors
/// As [`RequestHeader::decode`].
pub fn decode_request_header(frame: &[u8]) -> Result<(RequestHeader<'_>, Reader<'_>), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader)?;
    Ok((header, reader))
}

/// Reads the header of a response from a frame without its length: the correlation id, and a reader at
/// the body.
///
/// # Errors
/// If the bytes are malformed.
pub fn decode_response_header(
    frame: &[u8],
    api: ApiKey,
    version: i16,
) -> Result<(i32, Reader<'_>), DecodeError> {
    let mut reader = Reader::new(frame);
    let correlation_id = reader.read_i32()?;
    if api.response_header_version(version) >= 1 {
        reader.skip_tags()?;
    }
    Ok((correlation_id, reader))
}

/// The frame of a request, its length first. `buffer` lends its memory.
///
/// # Panics
/// If the key is none of [`ApiKey`], or the frame is longer than 2 GiB.
pub fn request_frame(header: &RequestHeader<'_>, body: &impl Encode, buffer: Vec<u8>) -> Frame {
    let mut w = Writer::with_buffer(buffer);
    w.put_i32(0);
    header.encode(&mut w);
    body.encode(&mut w, header.api_version);
    finish(w)
}

/// The frame of a response, its length first. `buffer` lends its memory.
///
/// # Panics
/// If the frame is longer than 2 GiB.
pub fn response_frame(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    body: &impl Encode,
    buffer: Vec<u8>,
) -> Frame {
    let mut w = Writer::with_buffer(buffer);
    w.put_i32(0);
    w.put_i32(correlation_id);
    if api.response_header_version(version) >= 1 {
        w.put_unsigned_varint(0);
    }
    body.encode(&mut w, version);
    finish(w)
}

fn finish(mut w: Writer) -> Frame {
    let length = i32::try_from(w.len() - 4).expect("a frame is shorter than 2 GiB");
    w.set_i32(0, length);
    w.into_frame()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
    use crate::message::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
    use crate::primitives::Records;
    use bytes::Bytes;

    #[test]
    fn request_frames_come_back() {
        let header = RequestHeader {
            api_key: ApiKey::ApiVersions.key(),
            api_version: 3,
            correlation_id: 7,
            client_id: Some("me".into()),
        };
        let body = ApiVersionsRequest { client_software_name: "test".into(), ..Default::default() };
        let frame = request_frame(&header, &body, Vec::new()).to_vec();
        assert_eq!(frame[..4], (frame.len() as i32 - 4).to_be_bytes());
        let (decoded, mut r) = decode_request_header(&frame[4..]).unwrap();
        assert_eq!(decoded, header);
        assert_eq!(ApiVersionsRequest::decode(&mut r, 3), Ok(body));
        assert_eq!(r.remaining(), 0);
    }

    #[test]
    fn api_versions_answers_have_no_tags_in_the_header() {
        let body = ApiVersionsResponse::default();
        let frame = response_frame(ApiKey::ApiVersions, 3, 7, &body, Vec::new()).to_vec();
        // Length, correlation id, error code, empty compact array, throttle time, no tags.
        assert_eq!(frame, [0, 0, 0, 12, 0, 0, 0, 7, 0, 0, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn short_headers_are_errors() {
        let frame = [0, 18, 0, 3, 0, 0, 0, 1, 0, 1, b'x', 0];
        for end in 0..frame.len() {
            assert!(decode_request_header(&frame[..end]).is_err());
        }
        assert!(decode_request_header(&frame).is_ok());
        let unknown = DecodeError::UnknownApiKey { key: 4 };
        assert_eq!(decode_request_header(&[0, 4, 0, 0, 0, 0, 0, 1]).unwrap_err(), unknown);
    }

    #[test]
    fn shared_records_are_not_copied() {
        let slices = vec![Bytes::from(vec![1; 100]), Bytes::from(vec![2; 50])];
        let starts: Vec<_> = slices.iter().map(|slice| slice.as_ptr()).collect();
        let body = FetchResponse {
            responses: vec![FetchableTopicResponse {
                partitions: vec![PartitionData {
                    records: Some(Records::Shared(slices)),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let frame = response_frame(ApiKey::Fetch, 17, 7, &body, Vec::new());
        assert!(
            frame
                .slices()
                .map(<[u8]>::as_ptr)
                .filter(|start| starts.contains(start))
                .eq(starts.iter().copied())
        );
        let bytes = frame.to_vec();
        assert_eq!(frame.len(), bytes.len());
        let (id, mut r) = decode_response_header(&bytes[4..], ApiKey::Fetch, 17).unwrap();
        assert_eq!((id, FetchResponse::decode(&mut r, 17)), (7, Ok(body)));
    }
}
