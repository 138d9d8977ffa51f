//! A connection for tests that look at single requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use quipu_protocol::header::{RequestHeader, request_frame};
use quipu_protocol::primitives::Str;
use quipu_protocol::{ApiKey, Encode};

use crate::process::Broker;

/// A connection on which requests are written by our own codec.
pub struct Client {
    stream: TcpStream,
    next_id: i32,
}

impl Client {
    pub fn new(broker: &Broker) -> Self {
        let stream = TcpStream::connect(broker.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        Self { stream, next_id: 1 }
    }

    /// Sends one request; the result is its correlation id.
    pub fn send(&mut self, api: ApiKey, version: i16, body: &impl Encode) -> i32 {
        let frame = self.frame(api, version, body);
        self.stream.write_all(&frame).expect("a request is sent");
        self.last_id()
    }

    /// The bytes of a request, to be sent with others by [`Self::send_bytes`].
    pub fn frame(&mut self, api: ApiKey, version: i16, body: &impl Encode) -> Vec<u8> {
        let correlation_id = self.next_id;
        self.next_id += 1;
        let header = RequestHeader {
            api_key: api.key(),
            api_version: version,
            correlation_id,
            client_id: Some(Str::Borrowed("it")),
        };
        request_frame(&header, body, Vec::new()).to_vec()
    }

    /// Sends whatever it is given.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send_bytes(bytes).expect("bytes are sent");
    }

    /// The same towards a broker that may be gone.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads one answer, header and body.
    pub fn receive(&mut self) -> Vec<u8> {
        self.try_receive().expect("an answer")
    }

    /// The same from a broker that may be gone.
    pub fn try_receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    /// Sends one request and reads its answer.
    pub fn call(&mut self, api: ApiKey, version: i16, body: &impl Encode) -> Vec<u8> {
        self.send(api, version, body);
        self.receive()
    }

    /// The correlation id of the last request.
    pub fn last_id(&self) -> i32 {
        self.next_id - 1
    }

    /// True when the broker has closed the connection without a word.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(n) => n == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}
