//! A broker with its network threads, listeners and upkeep: what `quipu serve`, `quipu dev` and tests start.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quipu_storage::disk::{DirLock, Disk, LockError, ReserveDisk};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::StartError;
use crate::health;
use crate::identity;
use crate::net::{self, Net};
use crate::upkeep;

/// Who gets no request for so long is idle.
const IDLE: Duration = Duration::from_secs(5);
/// How often an idle broker looks whether it still is.
const LONG_IDLE: Duration = Duration::from_secs(60);

/// A started broker.
#[derive(Debug)]
pub struct Server {
    /// The broker itself.
    pub broker: Arc<Broker>,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    net: Net,
    listeners: Vec<TcpListener>,
    runtime: Runtime,
    signals: Option<Signals>,
    /// SIGUSR1: somebody asks how the broker is.
    asked: Signal,
    _lock: DirLock,
}

impl Server {
    /// Opens the data, listens, and starts the network threads. When this returns, connections are queued; they are
    /// answered once [`Server::run`] runs.
    pub fn start(
        config: Config,
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        clock: Clock,
    ) -> Result<Self, StartError> {
        raise_file_limit();
        let settings = config.settings();
        let io_error = |error| StartError::io(data_dir, error);
        // Listening comes first: of two brokers started by mistake the second fails before it touches anything.
        let listeners = settings
            .listeners
            .iter()
            .map(|listener| listen(&listener.host, listener.port))
            .collect::<Result<Vec<_>, _>>()?;
        // Before anything is written there, the lock included.
        identity::refuse_strangers(&*disk, data_dir)?;
        disk.create_dir_all(data_dir).map_err(io_error)?;
        let lock = disk.lock(data_dir).map_err(|error| match error {
            LockError::Held { dir, pid } => StartError::InUse { path: dir, pid },
            LockError::Io { path, source } => StartError::Io { path, error: source },
        })?;
        let disk = with_reserve(disk, data_dir);
        let broker = Broker::open(config, Arc::clone(&disk), data_dir, clock)?;
        // Only now: a start that fails leaves nothing behind.
        disk.regain();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io_error)?;
        let net = Net::start(&broker, settings.network.threads).map_err(io_error)?;
        let (signals, asked) = runtime
            .block_on(async { io::Result::Ok((Signals::new()?, signal(SignalKind::user_defined1())?)) })
            .map_err(io_error)?;
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        Ok(Self { broker, addresses, net, listeners, runtime, signals: Some(signals), asked, _lock: lock })
    }

    /// Leaves SIGTERM and SIGINT to somebody else in this process, who decides when to stop.
    pub fn without_signals(self) -> Self {
        Self { signals: None, ..self }
    }

    /// Serves until a signal or until `stop` resolves, then answers what is in flight, flushes, and closes every log
    /// cleanly.
    ///
    /// # Errors
    /// Why something that was written since the start may not be on disk.
    pub fn run(self, stop: impl Future<Output = ()>) -> Result<(), String> {
        let Self { broker, net, listeners, runtime, signals, mut asked, _lock, .. } = self;
        let net = Arc::new(net);
        let accepting = LocalSet::new();
        for listener in listeners {
            let (net, broker) = (Arc::clone(&net), Arc::clone(&broker));
            accepting.spawn_local(async move {
                if let Err(error) = net.accept(&broker, listener).await {
                    tracing::error!(%error, "a listener failed");
                    broker.stop();
                }
            });
        }
        let told = Arc::clone(&broker);
        accepting.spawn_local(async move {
            while asked.recv().await.is_some() {
                // Whoever asks wants an answer, whatever the levels of the log; where it cannot be written, there is none.
                let _ = io::stderr().write_all(health::status(&told).as_bytes());
            }
        });
        accepting.spawn_local(unmap_when_idle(Arc::clone(&broker)));
        let mut stopping = broker.stopping();
        let told_to_stop = async {
            match signals {
                Some(mut signals) => signals.told_to_stop().await,
                None => std::future::pending().await,
            }
        };
        accepting.block_on(&runtime, async {
            tokio::select! {
                () = upkeep::run(&broker) => {}
                () = stop => {}
                () = told_to_stop => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        });
        broker.stop();
        drop(accepting);
        if let Some(net) = Arc::into_inner(net) {
            net.join();
        }
        if broker.metrics.by_api.is_on() {
            let _ = io::stderr().write_all(health::requests(&broker).as_bytes());
        }
        let closed = broker.close();
        // A round of compaction that has begun would be waited for; it goes on where it left off after the next start.
        runtime.shutdown_background();
        closed
    }
}

/// Has an idle broker hold no more of the program than idling needs: most of it was needed to start, or by requests that
/// nobody sends now. The next request maps again what it runs through, in tens of microseconds.
async fn unmap_when_idle(broker: Arc<Broker>) {
    let (mut seen, mut is_done) = (broker.metrics.requests.get(), false);
    loop {
        // Once that is done, a look now and then will do: an idle broker sleeps.
        tokio::time::sleep(if is_done { LONG_IDLE } else { IDLE }).await;
        let requests = broker.metrics.requests.get();
        if requests != seen {
            (seen, is_done) = (requests, false);
        } else if !is_done {
            is_done = true;
            if let Ok(Err(error)) = tokio::task::spawn_blocking(quipu_storage::unmap_program).await {
                tracing::debug!(%error, "an idle broker keeps its program in memory");
            }
        }
    }
}

/// A disk that can be full keeps some room for what must go on then.
fn with_reserve(disk: Arc<dyn Disk>, data_dir: &Path) -> Arc<dyn Disk> {
    if disk.is_volatile() {
        return disk;
    }
    let volume_bytes = rustix::fs::statvfs(data_dir)
        .map_or(u64::MAX, |volume| volume.f_blocks.saturating_mul(volume.f_frsize));
    Arc::new(ReserveDisk::new(disk, data_dir, volume_bytes))
}

fn listen(host: &str, port: u16) -> Result<TcpListener, StartError> {
    let failed = |error| {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        StartError::Listen { address: format!("{host}:{port}"), error }
    };
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let addresses = (host, port).to_socket_addrs().map_err(failed)?;
    // A name may stand for an IPv6 and an IPv4 address: the first that works is taken, IPv4 before IPv6, as most
    // clients try them.
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match net::listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// A log of ten thousand partitions needs more files than the usual soft limit of 1,024 allows; the hard limit is
/// what the administrator granted.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// SIGTERM and SIGINT. Made before the broker calls itself ready, so that none is missed.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves at the first signal. A second one then ends the process at once.
    async fn told_to_stop(&mut self) {
        self.next().await;
        let _ = std::thread::Builder::new().name("quipu-second-signal".into()).spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                let second = runtime.block_on(async {
                    Self::new()?.next().await;
                    io::Result::Ok(())
                });
                if second.is_ok() {
                    std::process::exit(1);
                }
            }
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
