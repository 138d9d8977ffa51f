//! A stretch of network between a broker and its clients that a test can break at a request of its choice.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use quipu_protocol::ApiKey;

use crate::process::Broker;

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// It gets through, and so does its answer.
    Answered,
    /// It is lost, and the connection with it.
    Lost,
    /// It is lost, as is all that follows on its connection, which stays open.
    Ignored,
    /// The broker gets it; its answer is lost, and the connection with it.
    AnswerLost,
    /// What a client gets in the place of the broker's answer: both are frames with their length.
    Rewritten(fn(&[u8]) -> Vec<u8>),
}

/// `quipu dev`, which sends its clients to an address where `decide` is asked about each request before it is passed on.
/// What goes to a leader, a controller or a coordinator comes by there.
pub fn dev_behind(decide: impl Fn(&Broker, ApiKey) -> Fate + Send + Sync + 'static) -> Arc<Broker> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let advertised = format!("advertised.listeners=PLAINTEXT://{address}");
    let broker = Arc::new(Broker::dev(&["--override", &advertised]));
    // The test's own hold on the broker is what keeps it alive.
    let (behind, direct, decide) = (Arc::downgrade(&broker), broker.address, Arc::new(decide));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (behind, decide) = (behind.clone(), Arc::clone(&decide));
            let fate = move |api| behind.upgrade().map_or(Fate::Lost, |broker| decide(&broker, api));
            std::thread::spawn(move || pass(client, direct, fate));
        }
    });
    broker
}

/// Requests and answers in turns, until one of them is lost or a side has gone.
fn pass(mut client: TcpStream, broker: SocketAddr, decide: impl Fn(ApiKey) -> Fate) -> io::Result<()> {
    let mut behind = TcpStream::connect(broker)?;
    loop {
        let request = frame(&mut client)?;
        let api = ApiKey::try_from(i16::from_be_bytes([request[4], request[5]])).expect("a known request");
        let fate = decide(api);
        match fate {
            Fate::Lost => return client.shutdown(Shutdown::Both),
            Fate::Ignored => return io::copy(&mut client, &mut io::sink()).map(drop),
            _ => {}
        }
        behind.write_all(&request)?;
        let answer = frame(&mut behind)?;
        match fate {
            Fate::Answered => client.write_all(&answer)?,
            Fate::Rewritten(rewrite) => client.write_all(&rewrite(&answer))?,
            _ => return client.shutdown(Shutdown::Both),
        }
    }
}

/// A frame with its length.
fn frame(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame)?;
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    from.take(length.into()).read_to_end(&mut frame)?;
    if frame.len() < 6 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(frame) }
}
