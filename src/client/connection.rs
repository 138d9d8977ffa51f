//! One connection to one broker: frames, negotiation, timeouts.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, StrBytes};
use quipu_protocol::ErrorCode;

use super::ClientError;

/// Largest answer that we take: a full fetch of Kafka's default size with room for one oversized batch.
const MAX_RESPONSE_BYTES: usize = 128 << 20;
/// Largest first answer. A peer that is no Kafka broker shows itself here.
const MAX_HANDSHAKE_BYTES: usize = 1 << 20;
/// The newest ApiVersions request that we can code.
const API_VERSIONS_CEILING: i16 = 4;

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name that the broker sees in its logs and groups.
    pub client_id: String,
    /// Longest wait for a connection and for an answer, on top of what a request itself asks the broker to wait.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { client_id: "quipu".into(), timeout: Duration::from_secs(15) }
    }
}

/// A feature that the broker announces, with the levels it supports and the one in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name, such as `transaction.version`.
    pub name: String,
    /// Lowest supported level.
    pub min: i16,
    /// Highest supported level.
    pub max: i16,
    /// The finalized level, if the cluster has settled one.
    pub finalized: Option<i16>,
}

/// A connection whose versions have been negotiated.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    address: String,
    options: Options,
    versions: HashMap<i16, (i16, i16)>,
    features: Vec<Feature>,
    next_correlation: i32,
}

impl Connection {
    /// Connects to `address` (`HOST:PORT`) and asks for its versions.
    pub fn open(address: &str, options: &Options) -> Result<Self, ClientError> {
        let stream = connect(address, options.timeout)?;
        let mut connection = Self {
            stream,
            address: address.to_owned(),
            options: options.clone(),
            versions: HashMap::new(),
            features: Vec::new(),
            next_correlation: 0,
        };
        connection.negotiate()?;
        Ok(connection)
    }

    /// The address that was given.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What the broker offers: request number to lowest and highest version.
    pub fn versions(&self) -> &HashMap<i16, (i16, i16)> {
        &self.versions
    }

    /// The features that the broker announces.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The highest version of `R` that both sides know, and at most `ceiling`.
    ///
    /// Our side's range is what the message codec really has: the crate's own table of ranges promises versions of
    /// OffsetCommit, OffsetFetch and InitProducerId that it cannot code.
    pub fn version<R: Request>(&self, ceiling: i16) -> Result<i16, ClientError> {
        let unsupported =
            || ClientError::Unsupported { address: self.address.clone(), api: api_name(R::KEY) };
        let &(low, high) = self.versions.get(&R::KEY).ok_or_else(unsupported)?;
        let ours = <R as Message>::VERSIONS;
        let best = high.min(ours.max).min(ceiling);
        if best < low || best < ours.min { Err(unsupported()) } else { Ok(best) }
    }

    /// Sends a request and waits for its answer, at the highest common version.
    pub fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        let version = self.version::<R>(i16::MAX)?;
        self.call_at(request, version, Duration::ZERO)
    }

    /// Sends a request at a version of the caller's choice. `patience` is how long the request lets the broker wait.
    pub fn call_at<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        patience: Duration,
    ) -> Result<R::Response, ClientError> {
        let correlation = self.send(request, version)?;
        self.receive::<R>(correlation, version, patience)
    }

    /// Sends a request without waiting. Answers must be received in the same order.
    pub fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<i32, ClientError> {
        let api = api_name(R::KEY);
        self.next_correlation = self.next_correlation.wrapping_add(1);
        let correlation = self.next_correlation;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(correlation)
            .with_client_id(Some(StrBytes::from_string(self.options.client_id.clone())));
        let mut frame = BytesMut::with_capacity(256);
        frame.extend_from_slice(&[0; 4]);
        header
            .encode(&mut frame, R::header_version(version))
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|error| ClientError::Other(format!("cannot write {api} version {version}: {error}")))?;
        let length = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame).map_err(|error| self.broken(error, api, self.options.timeout))?;
        Ok(correlation)
    }

    /// Waits for the answer to a request sent before.
    pub fn receive<R: Request>(
        &mut self,
        correlation: i32,
        version: i16,
        patience: Duration,
    ) -> Result<R::Response, ClientError> {
        let api = api_name(R::KEY);
        let mut body = self.read_frame(api, patience, MAX_RESPONSE_BYTES)?;
        let header_version = <R::Response as HeaderVersion>::header_version(version);
        let header =
            ResponseHeader::decode(&mut body, header_version).map_err(|error| self.malformed(api, error))?;
        if header.correlation_id != correlation {
            let detail = format!("it answers request {}, not {correlation}", header.correlation_id);
            return Err(self.malformed(api, detail));
        }
        R::Response::decode(&mut body, version).map_err(|error| self.malformed(api, error))
    }

    /// ApiVersions, newest first; a broker that does not know that version says so in the form of version 0.
    fn negotiate(&mut self) -> Result<(), ClientError> {
        let mut version = API_VERSIONS_CEILING;
        for _ in 0..2 {
            let request = ApiVersionsRequest::default()
                .with_client_software_name(StrBytes::from_static_str("quipu"))
                .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
            let request = if version >= 3 { request } else { ApiVersionsRequest::default() };
            let correlation = self.send(&request, version)?;
            let mut body = self.read_frame("ApiVersions", Duration::ZERO, MAX_HANDSHAKE_BYTES)?;
            if body.len() < 6 || body[..4] != correlation.to_be_bytes() {
                return Err(ClientError::NotKafka {
                    address: self.address.clone(),
                    looks_like: "something other than the Kafka protocol",
                });
            }
            let error = ErrorCode(i16::from_be_bytes([body[4], body[5]]));
            let _ = body.split_to(4);
            let body_version = if error == ErrorCode::UNSUPPORTED_VERSION { 0 } else { version };
            let response = ApiVersionsResponse::decode(&mut body, body_version)
                .map_err(|error| self.malformed("ApiVersions", error))?;
            if error == ErrorCode::UNSUPPORTED_VERSION && version > 0 {
                let offered = response.api_keys.iter().find(|key| key.api_key == ApiVersionsRequest::KEY);
                version = offered.map_or(0, |key| key.max_version.clamp(0, version - 1));
                continue;
            }
            if error != ErrorCode::NONE {
                return Err(ClientError::broker(self.address.clone(), error.0, None));
            }
            self.keep(&response);
            return Ok(());
        }
        Err(ClientError::Unsupported { address: self.address.clone(), api: "ApiVersions" })
    }

    fn keep(&mut self, response: &ApiVersionsResponse) {
        self.versions =
            response.api_keys.iter().map(|key| (key.api_key, (key.min_version, key.max_version))).collect();
        let finalized: HashMap<&str, i16> =
            response.finalized_features.iter().map(|f| (f.name.as_str(), f.max_version_level)).collect();
        self.features = response
            .supported_features
            .iter()
            .map(|f| Feature {
                name: f.name.to_string(),
                min: f.min_version,
                max: f.max_version,
                finalized: finalized.get(f.name.as_str()).copied(),
            })
            .collect();
        self.features.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Reads one frame. Nothing is reserved on the word of its length.
    fn read_frame(
        &mut self,
        api: &'static str,
        patience: Duration,
        limit: usize,
    ) -> Result<Bytes, ClientError> {
        let wait = self.options.timeout + patience;
        self.stream.set_read_timeout(Some(wait)).map_err(|error| self.broken(error, api, wait))?;
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).map_err(|error| self.broken(error, api, wait))?;
        let length = u32::from_be_bytes(prefix) as usize;
        if length < 4 || length > limit {
            return Err(match looks_like(prefix) {
                Some(looks_like) => ClientError::NotKafka { address: self.address.clone(), looks_like },
                None => self.malformed(api, format!("a length of {length} bytes")),
            });
        }
        let mut body = Vec::with_capacity(length.min(1 << 20));
        let read = (&mut self.stream).take(length as u64).read_to_end(&mut body);
        match read {
            Ok(n) if n == length => Ok(Bytes::from(body)),
            Ok(_) => Err(ClientError::Closed { address: self.address.clone(), api }),
            Err(error) => Err(self.broken(error, api, wait)),
        }
    }

    fn broken(&self, error: io::Error, api: &'static str, after: Duration) -> ClientError {
        let address = self.address.clone();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ClientError::TimedOut { address, api, after }
            }
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => ClientError::Closed { address, api },
            _ => ClientError::Unreachable { address, source: error },
        }
    }

    fn malformed(&self, api: &'static str, detail: impl std::fmt::Display) -> ClientError {
        ClientError::Malformed { address: self.address.clone(), api, detail: detail.to_string() }
    }
}

/// For waiting on several at once. It is readable when an answer to [`Connection::send`] has come, at least its beginning.
impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The name of a request, as in Kafka's documentation without the word "Request".
pub(crate) fn api_name(key: i16) -> &'static str {
    quipu_protocol::ApiKey::try_from(key).map_or("an unknown request", |key| key.name())
}

fn connect(address: &str, timeout: Duration) -> Result<TcpStream, ClientError> {
    let unreachable = |source| ClientError::Unreachable { address: address.to_owned(), source };
    let candidates = address.to_socket_addrs().map_err(unreachable)?;
    let mut last = None;
    for candidate in candidates {
        match TcpStream::connect_timeout(&candidate, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(unreachable)?;
                stream.set_write_timeout(Some(timeout)).map_err(unreachable)?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            ClientError::Refused { address: address.to_owned() }
        }
        Some(error) => unreachable(error),
        None => unreachable(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
    })
}

fn looks_like(prefix: [u8; 4]) -> Option<&'static str> {
    match prefix {
        [b'H', b'T', b'T', b'P'] => Some("HTTP"),
        [0x15 | 0x16, 3, _, _] => Some("TLS"),
        [b'S', b'S', b'H', b'-'] => Some("SSH"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answer_once(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = [0; 64];
            let _ = stream.read(&mut seen);
            let _ = stream.write_all(bytes);
        });
        address
    }

    fn failure(bytes: &'static [u8]) -> String {
        let options = Options { timeout: Duration::from_secs(5), ..Options::default() };
        Connection::open(&answer_once(bytes), &options).unwrap_err().to_string()
    }

    #[test]
    fn a_web_server_is_recognised() {
        assert!(failure(b"HTTP/1.1 400 Bad Request\r\n\r\n").contains("with HTTP"));
    }

    #[test]
    fn a_tls_listener_is_recognised() {
        assert!(failure(b"\x15\x03\x03\x00\x02\x02\x46").contains("with TLS"));
    }

    #[test]
    fn garbage_does_not_reserve_memory_or_panic() {
        assert!(failure(b"\x7f\xff\xff\xff").contains("makes no sense"));
        assert!(failure(b"\x00\x00\x00\x08abcdefgh").contains("other than the Kafka protocol"));
        assert!(failure(b"\x00\x00").contains("closed the connection"));
        assert!(failure(b"").contains("closed the connection"));
    }

    #[test]
    fn refused_says_how_to_start_a_broker() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = Connection::open(&format!("127.0.0.1:{port}"), &Options::default()).unwrap_err();
        assert!(matches!(error, ClientError::Refused { .. }), "{error}");
    }
}
