//! Threads, listeners, and stopping.
//!
//! N threads each run one single-threaded runtime. The thread that accepts hands a socket to the thread with the
//! fewest connections, where it lives until it closes: a request never hops threads.

mod conn;
mod frame;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::broker::Broker;
pub use frame::{FrameError, FrameLimits, frame_bytes};

/// How long an accept loop rests when the process has no file descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How long requests in flight may take to end after a stop was asked for.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// Length of the kernel's queue of connections not accepted yet (Kafka: `socket.listen.backlog.size`).
const BACKLOG: i32 = 1_024;

/// The running network side of a broker.
#[derive(Debug)]
pub struct Net {
    threads: Vec<NetThread>,
    next: AtomicUsize,
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

#[derive(Debug)]
struct NetThread {
    connections: Arc<AtomicUsize>,
    sockets: mpsc::UnboundedSender<(StdStream, Place)>,
    thread: Option<JoinHandle<()>>,
}

impl Net {
    /// Starts `threads` network threads for `broker`.
    pub fn start(broker: &Arc<Broker>, threads: usize) -> io::Result<Self> {
        let threads = (0..threads.max(1)).map(|n| NetThread::start(broker, n)).collect::<io::Result<_>>()?;
        Ok(Self { threads, next: AtomicUsize::new(0), addresses: Addresses::default() })
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

    fn hand_out(&self, broker: &Broker, stream: TcpStream, peer: SocketAddr) {
        let settings = broker.settings();
        let limit = settings.network.max_connections_per_ip_overrides.get(&peer.ip());
        let limit = *limit.unwrap_or(&settings.network.max_connections_per_ip);
        let Some(place) = Place::take(&self.addresses, peer.ip(), limit) else {
            broker.metrics.connections_refused.increment();
            tracing::warn!(%peer, limit, "refused a connection: max.connections.per.ip is reached");
            return;
        };
        let open: usize = self.threads.iter().map(|t| t.connections.load(Ordering::Relaxed)).sum();
        if open >= settings.network.max_connections {
            broker.metrics.connections_refused.increment();
            tracing::warn!(%peer, open, "refused a connection: max.connections is reached");
            return;
        }
        // Ties go round, so that two busy connections do not share a core.
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.threads.len();
        let thread = (0..count)
            .map(|n| &self.threads[(first + n) % count])
            .min_by_key(|t| t.connections.load(Ordering::Relaxed))
            .expect("at least one network thread");
        let Ok(stream) = stream.into_std() else { return };
        thread.connections.fetch_add(1, Ordering::Relaxed);
        if thread.sockets.send((stream, place)).is_err() {
            thread.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Waits until the threads have answered what was in flight; call after [`Broker::stop`].
    pub fn join(mut self) {
        for thread in &mut self.threads {
            let (closed, _) = mpsc::unbounded_channel();
            drop(std::mem::replace(&mut thread.sockets, closed));
            if let Some(handle) = thread.thread.take() {
                let _ = handle.join();
            }
        }
    }
}

impl NetThread {
    fn start(broker: &Arc<Broker>, number: usize) -> io::Result<Self> {
        let (sockets, inbox) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let (broker, open) = (Arc::clone(broker), Arc::clone(&connections));
        let thread = std::thread::Builder::new()
            .name(format!("quipu-net-{number}"))
            .spawn(move || run_thread(broker, inbox, open))?;
        Ok(Self { connections, sockets, thread: Some(thread) })
    }
}

fn run_thread(
    broker: Arc<Broker>,
    mut inbox: mpsc::UnboundedReceiver<(StdStream, Place)>,
    open: Arc<AtomicUsize>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a network thread cannot start");
            return;
        }
    };
    let connections = LocalSet::new();
    let pool = conn::BufferPool::default();
    let mut stopping = broker.stopping();
    connections.block_on(&runtime, async {
        loop {
            let socket = tokio::select! {
                socket = inbox.recv() => socket,
                _ = stopping.wait_for(|stop| *stop) => None,
            };
            let Some((socket, place)) = socket else { break };
            let (broker, open, pool) = (Arc::clone(&broker), Arc::clone(&open), pool.clone());
            tokio::task::spawn_local(async move {
                let _counted = (place, Counted::new(&broker, open));
                match TcpStream::from_std(socket) {
                    Ok(stream) => conn::serve(stream, &broker, pool).await,
                    Err(error) => tracing::warn!(%error, "cannot serve a connection"),
                }
            });
        }
    });
    // What is in flight may end; what still waits after the grace is dropped with the set.
    runtime.block_on(async {
        let _ = tokio::time::timeout(STOP_GRACE, connections).await;
    });
}

/// Keeps the counts of open connections right however a connection ends.
struct Counted<'a> {
    broker: &'a Broker,
    open: Arc<AtomicUsize>,
}

impl<'a> Counted<'a> {
    fn new(broker: &'a Broker, open: Arc<AtomicUsize>) -> Self {
        broker.metrics.connections_opened.increment();
        Self { broker, open }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.broker.metrics.connections_closed.increment();
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
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
