//! Threads, listeners, and stopping.
//!
//! N threads each run one single-threaded runtime. The thread that accepts hands a socket to one of them, which answers
//! its requests: a request never hops threads. [`load`] says which, and when a connection moves on.

mod conn;
mod frame;
mod load;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::broker::Broker;
pub use frame::{FrameError, FrameLimits, frame_bytes};
use load::{Gauge, Loads};

/// How long an accept loop rests when the process has no file descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How long requests in flight may take to end after a stop was asked for.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// Length of the kernel's queue of connections not accepted yet (Kafka: `socket.listen.backlog.size`).
const BACKLOG: i32 = 1_024;
/// Threads that wait for the disk on behalf of one network thread; what comes on top of that waits for one of them.
const WAITING_THREADS_MAX: usize = 64;

/// The running network side of a broker.
#[derive(Debug)]
pub struct Net {
    threads: Vec<JoinHandle<()>>,
    inboxes: Inboxes,
    loads: Arc<Loads>,
    addresses: Addresses,
}

/// Open connections by the client's address.
type Addresses = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One connection's place among those of its address; free again when dropped.
#[derive(Debug)]
struct Place {
    address: IpAddr,
    addresses: Addresses,
}

impl Place {
    fn take(addresses: &Addresses, address: IpAddr, limit: usize) -> Option<Self> {
        let mut open = addresses.lock();
        let count = open.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Self { address, addresses: Arc::clone(addresses) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// Where each thread takes connections from.
type Inboxes = Arc<[mpsc::UnboundedSender<Socket>]>;

/// A connection that no thread serves right now.
#[derive(Debug)]
struct Socket {
    stream: StdStream,
    /// Its connection's own: among the connections of an address, and in the counts.
    seat: Seat,
}

impl Net {
    /// Starts `threads` network threads for `broker`.
    pub fn start(broker: &Arc<Broker>, threads: usize) -> io::Result<Self> {
        let count = threads.max(1);
        let loads = Loads::new(count);
        let (inboxes, inbox): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let inboxes = Inboxes::from(inboxes);
        let threads = inbox.into_iter().enumerate().map(|(number, inbox)| {
            let (broker, loads, inboxes) = (Arc::clone(broker), Arc::clone(&loads), Arc::clone(&inboxes));
            std::thread::Builder::new()
                .name(format!("quipu-net-{number}"))
                .spawn(move || run_thread(&broker, number, inbox, &inboxes, loads))
        });
        let threads = threads.collect::<io::Result<_>>()?;
        Ok(Self { threads, inboxes, loads, addresses: Addresses::default() })
    }

    /// Accepts connections from `listener` until the broker stops. Runs on the caller's runtime.
    pub async fn accept(&self, broker: &Arc<Broker>, listener: StdListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        let mut stopping = broker.stopping();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|stop| *stop) => return Ok(()),
            };
            match accepted {
                Ok((stream, peer)) => self.hand_out(broker, stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    fn hand_out(&self, broker: &Arc<Broker>, stream: TcpStream, peer: SocketAddr) {
        let settings = broker.settings();
        let limit = settings.network.max_connections_per_ip_overrides.get(&peer.ip());
        let limit = *limit.unwrap_or(&settings.network.max_connections_per_ip);
        let Some(place) = Place::take(&self.addresses, peer.ip(), limit) else {
            broker.metrics.connections_refused.increment();
            tracing::warn!(%peer, limit, "refused a connection: max.connections.per.ip is reached");
            return;
        };
        let open = self.loads.connections();
        if open >= settings.network.max_connections {
            broker.metrics.connections_refused.increment();
            tracing::warn!(%peer, open, "refused a connection: max.connections is reached");
            return;
        }
        let Ok(stream) = stream.into_std() else { return };
        let thread = self.loads.place();
        broker.metrics.connections_opened.increment();
        let seat = Seat { _place: place, broker: Arc::clone(broker), loads: Arc::clone(&self.loads), thread };
        self.loads.opened(thread);
        // A thread that has ended closes the connection.
        let _ = self.inboxes[thread].send(Socket { stream, seat });
    }

    /// Waits until the threads have answered what was in flight; call after [`Broker::stop`].
    pub fn join(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Keeps the counts of open connections right however a connection ends.
#[derive(Debug)]
struct Seat {
    _place: Place,
    broker: Arc<Broker>,
    loads: Arc<Loads>,
    thread: usize,
}

impl Seat {
    fn moved_to(mut self, thread: usize) -> Self {
        self.loads.opened(thread);
        self.loads.closed(self.thread);
        self.thread = thread;
        self
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.broker.metrics.connections_closed.increment();
        self.loads.closed(self.thread);
    }
}

fn run_thread(
    broker: &Arc<Broker>,
    number: usize,
    mut inbox: mpsc::UnboundedReceiver<Socket>,
    inboxes: &Inboxes,
    loads: Arc<Loads>,
) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = match runtime.enable_all().max_blocking_threads(WAITING_THREADS_MAX).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a network thread cannot start");
            return;
        }
    };
    let connections = LocalSet::new();
    let pool = conn::BufferPool::default();
    let gauge = Rc::new(Gauge::new(loads, number));
    let mut stopping = broker.stopping();
    connections.block_on(&runtime, async {
        loop {
            let socket = tokio::select! {
                socket = inbox.recv() => socket,
                _ = stopping.wait_for(|stop| *stop) => None,
            };
            let Some(Socket { stream, seat }) = socket else { break };
            let (broker, pool, gauge) = (Arc::clone(broker), pool.clone(), Rc::clone(&gauge));
            let inboxes = Arc::clone(inboxes);
            tokio::task::spawn_local(async move {
                let served = match TcpStream::from_std(stream) {
                    Ok(stream) => conn::serve(stream, &broker, pool, &gauge).await,
                    Err(error) => return tracing::warn!(%error, "cannot serve a connection"),
                };
                if let Some((stream, thread)) = served {
                    // A thread that has ended closes the connection.
                    let _ = inboxes[thread].send(Socket { stream, seat: seat.moved_to(thread) });
                }
            });
        }
    });
    // What is in flight may end; what still waits after the grace is dropped with the set.
    runtime.block_on(async {
        let _ = tokio::time::timeout(STOP_GRACE, connections).await;
    });
}

/// Opens a listening socket at `address`.
pub fn listen(address: SocketAddr) -> io::Result<StdListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    // A restart must not wait for the old connections' TIME_WAIT. (A port that somebody listens on stays taken.)
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
