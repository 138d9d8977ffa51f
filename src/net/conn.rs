//! One connection: requests in, answers out, in order.
//!
//! All requests that one read brought are answered with one write. While an answer waits (a long poll, a group
//! join) nothing more is read, so a peer that pipelines without end fills its own socket buffer, not our memory.
//! Only a Produce that waits for the disk lets the next request begin: its answer, and those behind it, are held until
//! the flush has happened. An idle connection holds no buffer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use quipu_protocol::ErrorCode;
use quipu_protocol::primitives::Frame;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use super::frame::{FrameLimits, frame_bytes};
use super::load::Gauge;
use crate::api;
use crate::broker::Broker;
use crate::metrics::{Watch, Watched};
use crate::topic::durable::Awaited;
use crate::topic::{AppendFailure, Turn};

/// Size of a fresh read buffer; what most reads fit into.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Largest frame that is no Produce.
const OTHER_FRAME_BYTES: usize = 4 * 1024 * 1024;
/// A buffer that grew beyond this is not kept for the next connection.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;
/// Buffers a thread keeps.
const KEPT_BUFFERS: usize = 16;
/// Answers are written once this much is waiting, even when more requests are at hand.
const WRITE_BATCH_BYTES: usize = 1024 * 1024;
/// Slices per write; the kernel takes 1,024, more than a few dozen gain nothing.
const WRITE_SLICES: usize = 64;
/// Answers held back at most; above it nothing more is read.
const HELD_MAX: usize = 64;
/// A frame that began must go on arriving: a peer that sends half and falls silent is dropped after this long.
const PARTIAL_FRAME_PATIENCE: Duration = Duration::from_secs(30);
/// A large request has to come this fast after that, on average.
const LARGE_BYTES_PER_SECOND_MIN: u64 = 1 << 20;
/// How long a large request waits for memory. Shorter than the patience with half a frame, so that the reason that is
/// named is the right one.
const MEMORY_PATIENCE: Duration = Duration::from_secs(20);
/// A peer that takes nothing of its answer for this long is dropped.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The buffers of one network thread, shared by its connections.
#[derive(Clone, Default)]
pub(super) struct BufferPool(Rc<RefCell<Vec<Vec<u8>>>>);

impl BufferPool {
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.borrow_mut();
        if buffer.capacity() > 0 && buffer.capacity() <= KEPT_BUFFER_BYTES && kept.len() < KEPT_BUFFERS {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

/// Why a connection ended; `None` says that the peer just left.
type Ended = Option<String>;

/// Serves one connection until the peer leaves, misbehaves or is idle for too long, or the broker stops; or until the
/// connection is better off on another thread, whose number is returned with it.
pub(super) async fn serve(
    stream: TcpStream,
    broker: &Arc<Broker>,
    pool: BufferPool,
    gauge: &Gauge,
) -> Option<(StdStream, usize)> {
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return None };
    // Answers are whole writes; waiting to merge them with later ones only adds latency.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection {
        stream,
        broker,
        peer,
        local,
        input: Input { bytes: Vec::new(), start: 0 },
        output: Output { frames: Vec::new(), bytes: 0, watch: None },
        held: VecDeque::new(),
        turn: Turn::default(),
        room: None,
        pool,
    };
    let ended = connection.run(gauge).await;
    let Connection { stream, input, pool, .. } = connection;
    pool.give(input.bytes);
    match ended {
        Ok(thread) => Some((stream.into_std().ok()?, thread?)),
        Err(None) => None,
        Err(Some(reason)) => {
            broker.metrics.connections_failed.increment();
            tracing::info!(%peer, "closed a connection: {reason}");
            None
        }
    }
}

struct Connection<'a> {
    stream: TcpStream,
    broker: &'a Arc<Broker>,
    peer: SocketAddr,
    local: SocketAddr,
    input: Input,
    output: Output,
    /// Answers that are held back until what they acknowledge is durable, and every answer behind them.
    held: VecDeque<Held>,
    turn: Turn,
    /// Room for the large request that is being read.
    room: Option<Room>,
    pool: BufferPool,
}

/// The room that a large request takes of what all of them may, from its beginning until it is answered, and how much
/// longer its peer may take to send the rest: whoever sends it byte by byte must not keep others waiting for ever. Time
/// in which we do not read is not the peer's.
struct Room {
    _permit: OwnedSemaphorePermit,
    left: Duration,
}

struct Held {
    frame: Option<Frame>,
    awaited: Awaited,
}

impl Connection<'_> {
    /// Answers requests; gives the thread that the connection is to go on with, if any is.
    async fn run(&mut self, gauge: &Gauge) -> Result<Option<usize>, Ended> {
        let limits = FrameLimits {
            produce_bytes: self.broker.settings().network.request_max_bytes,
            other_bytes: OTHER_FRAME_BYTES,
        };
        let mut stopping = self.broker.stopping();
        // Both live as long as the connection: made anew for each request they would cost more than decoding it.
        let mut stopped = pin!(stopping.wait_for(|stop| *stop));
        let mut silence = Silence::new(idle_patience(self.broker));
        let mut is_stopping = false;
        loop {
            if !is_stopping {
                Watch::turn(&mut self.output.watch, self.broker, !self.held.is_empty());
                self.answer_all(limits).await?;
            }
            self.output.flush(&mut self.stream, &self.pool).await.map_err(lost)?;
            if is_stopping && self.held.is_empty() {
                return Ok(None);
            }
            let may_read = self.held.len() < HELD_MAX && !is_stopping;
            let is_partial = !self.input.pending().is_empty();
            let now = Instant::now();
            let left = self.room.as_ref().map(|room| room.left);
            silence.begins(
                now,
                match left {
                    Some(left) => PARTIAL_FRAME_PATIENCE.min(left),
                    None if is_partial => PARTIAL_FRAME_PATIENCE,
                    None => idle_patience(self.broker),
                },
            );
            if let Some(thread) = gauge.turn(u64::from(self.peer.port()), now)
                && !is_partial
                && self.held.is_empty()
                && !is_stopping
            {
                return Ok(Some(thread));
            }
            tokio::select! {
                biased;
                outcome = front_durable(&mut self.held), if !self.held.is_empty() => {
                    release(outcome, &mut self.held, &mut self.output)?;
                }
                read = read(&mut self.stream, &mut self.input, &mut self.room, &self.pool, self.broker, limits),
                    if may_read => read?,
                () = silence.too_long(), if may_read => return Err(is_partial.then(|| {
                    let seconds = PARTIAL_FRAME_PATIENCE.as_secs();
                    format!("half a request came, then nothing for {seconds} seconds, or less than 1 MiB/s")
                })),
                _ = &mut stopped, if !is_stopping => is_stopping = true,
            }
            if let (Some(room), Some(left)) = (&mut self.room, left)
                && may_read
            {
                room.left = left.saturating_sub(now.elapsed());
            }
        }
    }

    /// Answers every complete request in the buffer.
    async fn answer_all(&mut self, limits: FrameLimits) -> Result<(), Ended> {
        loop {
            let pending = self.input.pending();
            let frame = match frame_bytes(pending, limits) {
                Ok(Some(bytes)) if pending.len() >= bytes && self.held.len() < HELD_MAX => &pending[4..bytes],
                Ok(_) => return self.turn.end().map_err(withheld),
                Err(error) => return Err(Some(error.to_string())),
            };
            let consumed = 4 + frame.len();
            if !is_produce(frame) {
                // It sees what came before it.
                self.turn.end().map_err(withheld)?;
            }
            let next = &pending[consumed..];
            let follows = frame_bytes(next, limits).is_ok_and(|bytes| bytes.is_some_and(|n| n <= next.len()));
            self.turn.set_goes_on(follows && is_produce(&next[4..]));
            let answered = {
                let caller = api::Caller {
                    broker: self.broker,
                    peer_addr: self.peer,
                    local_addr: self.local,
                    turn: Some(&self.turn),
                };
                let mut answer = pin!(api::answer(caller, frame, self.pool.take()));
                let began = self.output.watch.as_ref().map(|watch| watch.begin(frame));
                let first = poll_once(answer.as_mut()).await;
                if let (Some(watch), Some(began)) = (&self.output.watch, began) {
                    watch.after_work(began, first.is_some());
                }
                match first {
                    Some(answered) => answered,
                    // It waits for something: send meanwhile what is ready, and watch for the peer to leave.
                    None => {
                        let mut answer = Watched::new(answer, self.output.watch.as_ref());
                        loop {
                            // From here on nothing is gathered: what this request appends next is written at once.
                            self.turn.set_goes_on(false);
                            self.turn.end().map_err(withheld)?;
                            self.output.flush(&mut self.stream, &self.pool).await.map_err(lost)?;
                            tokio::select! {
                                biased;
                                answered = &mut answer => break answered,
                                outcome = front_durable(&mut self.held), if !self.held.is_empty() => {
                                    release(outcome, &mut self.held, &mut self.output)?;
                                }
                                () = peer_left(&self.stream) => return Err(None),
                            }
                        }
                    }
                }
            };
            let api::Answer { frame, awaited } = answered.map_err(|close| Some(close.to_string()))?;
            if awaited.is_empty() && self.held.is_empty() {
                self.output.push(frame);
            } else {
                self.held.push_back(Held { frame, awaited });
            }
            self.input.consume(consumed);
            self.room = None;
            if self.output.bytes >= WRITE_BATCH_BYTES {
                self.turn.end().map_err(withheld)?;
                self.output.flush(&mut self.stream, &self.pool).await.map_err(lost)?;
            }
        }
    }
}

/// Whether a frame, without its length, is a Produce: key 0.
fn is_produce(frame: &[u8]) -> bool {
    frame.starts_with(&[0, 0])
}

/// Batches that answers of this turn tell of could not be written: none of the answers may leave, and the client learns
/// from the closed connection that the outcome is unknown.
fn withheld(failure: AppendFailure) -> Ended {
    Some(format!("acknowledgements are withheld, the log could not be written ({})", failure.code()))
}

/// Resolves when the oldest held answer may leave.
async fn front_durable(held: &mut VecDeque<Held>) -> Result<(), ErrorCode> {
    match held.front_mut() {
        Some(front) => front.awaited.wait().await,
        None => Ok(()),
    }
}

/// Moves the oldest held answer, and those behind it that wait for nothing, to the output. When a sync failed, nobody
/// knows what is on disk: the answers are withheld, and the client learns from the closed connection that the outcome
/// is unknown.
fn release(
    outcome: Result<(), ErrorCode>,
    held: &mut VecDeque<Held>,
    output: &mut Output,
) -> Result<(), Ended> {
    outcome.map_err(|code| {
        Some(format!("an acknowledgement is withheld, the log could not be synced ({code})"))
    })?;
    loop {
        let Some(front) = held.pop_front() else { return Ok(()) };
        output.push(front.frame);
        if held.front().is_some_and(|next| !next.awaited.is_empty()) {
            return Ok(());
        }
    }
}

/// Waits for bytes and reads what has come.
async fn read(
    stream: &mut TcpStream,
    input: &mut Input,
    room: &mut Option<Room>,
    pool: &BufferPool,
    broker: &Broker,
    limits: FrameLimits,
) -> Result<(), Ended> {
    if input.pending().is_empty() {
        // Nothing is held while nothing comes.
        pool.give(std::mem::take(&mut input.bytes));
        input.start = 0;
    }
    poll_fn(|cx| stream.poll_read_ready(cx)).await.map_err(lost)?;
    if input.bytes.capacity() == 0 {
        input.bytes = pool.take();
    }
    let wanted = frame_bytes(input.pending(), limits).ok().flatten().unwrap_or(0);
    if wanted > READ_BUFFER_BYTES && room.is_none() {
        // All of it or none: of many large requests, those that have begun can end.
        let permit = broker.request_memory.reserve(wanted);
        let permit = Box::pin(tokio::time::timeout(MEMORY_PATIENCE, permit));
        let permit = permit.await.map_err(|_| {
            Some("there was no memory for a large request; raise queued.max.request.bytes".to_owned())
        })?;
        let patience =
            PARTIAL_FRAME_PATIENCE + Duration::from_secs(wanted as u64 / LARGE_BYTES_PER_SECOND_MIN);
        *room = Some(Room { _permit: permit, left: patience });
    }
    input.make_room(wanted);
    // Unlike `try_read_buf` this knows that a short read has emptied the socket, and spares the next turn a call
    // that finds nothing.
    match stream.read_buf(&mut input.bytes).await {
        Ok(0) => Err(None),
        Ok(_) => Ok(()),
        Err(error) => Err(lost(error)),
    }
}

/// How long nothing has come. One timer for the whole connection: it is not moved for each request, but looks when it
/// fires whether the silence began later than it thought.
struct Silence {
    timer: Pin<Box<Sleep>>,
    ends: Instant,
}

impl Silence {
    fn new(patience: Duration) -> Self {
        let ends = Instant::now() + patience;
        Self { timer: Box::pin(sleep_until(ends)), ends }
    }

    /// Starts to count, up to `patience`.
    fn begins(&mut self, now: Instant, patience: Duration) {
        self.ends = now + patience;
        if self.ends < self.timer.deadline() {
            self.timer.as_mut().reset(self.ends);
        }
    }

    /// Resolves when the patience is at its end.
    async fn too_long(&mut self) {
        loop {
            self.timer.as_mut().await;
            if Instant::now() >= self.ends {
                return;
            }
            self.timer.as_mut().reset(self.ends);
        }
    }
}

/// `connections.max.idle.ms`; negative is for ever, which a year is long enough for.
fn idle_patience(broker: &Broker) -> Duration {
    let ms = broker.settings().network.connections_max_idle_ms;
    u64::try_from(ms).map_or(YEAR, Duration::from_millis).min(YEAR)
}

/// A reset or a broken pipe is a peer that left; anything else is worth a line in the log.
fn lost(error: io::Error) -> Ended {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => None,
        _ => Some(error.to_string()),
    }
}

async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// Resolves when the peer closes. Stays pending once the peer has sent more, since a close behind bytes that
/// nobody reads yet cannot be seen.
async fn peer_left(stream: &TcpStream) {
    match stream.ready(Interest::READABLE).await {
        Ok(ready) if !ready.is_read_closed() => std::future::pending().await,
        _ => {}
    }
}

/// Bytes that came and are not consumed yet.
struct Input {
    bytes: Vec<u8>,
    start: usize,
}

impl Input {
    fn pending(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Makes room for the rest of a frame of `wanted` bytes. Memory follows what has come, not what was promised:
    /// the buffer at most doubles per read.
    fn make_room(&mut self, wanted: usize) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        // What a large request has taken goes back with it, also where the next one comes byte by byte.
        let fair = wanted.max(READ_BUFFER_BYTES);
        if self.bytes.capacity() > 2 * fair {
            self.bytes.shrink_to(fair);
        }
        let have = self.bytes.len();
        let target = wanted.min(have * 2).max(READ_BUFFER_BYTES);
        if self.bytes.capacity() < target {
            self.bytes.reserve_exact(target - have);
        } else if self.bytes.capacity() == have {
            self.bytes.reserve_exact(have.max(READ_BUFFER_BYTES));
        }
    }
}

/// Answers that wait to be written.
struct Output {
    frames: Vec<Frame>,
    bytes: usize,
    /// Where their time goes, if somebody wants to know.
    watch: Option<Rc<Watch>>,
}

impl Output {
    fn push(&mut self, frame: Option<Frame>) {
        if let Some(watch) = &self.watch {
            watch.release(frame.as_ref());
        }
        if let Some(frame) = frame {
            self.bytes += frame.len();
            self.frames.push(frame);
        }
    }

    /// Writes everything, many slices at a time, and gives the buffers back.
    async fn flush(&mut self, stream: &mut TcpStream, pool: &BufferPool) -> io::Result<()> {
        let mut written = 0;
        while written < self.bytes {
            match self.write_some(stream, written) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // A peer that asks and never reads must not stay for ever.
                    let writable = Box::pin(tokio::time::timeout(WRITE_PATIENCE, stream.writable()));
                    writable.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                }
                Err(error) => return Err(error),
            }
        }
        self.bytes = 0;
        if let Some(watch) = &self.watch {
            watch.sent();
        }
        for frame in self.frames.drain(..) {
            pool.give(frame.into_buffer());
        }
        Ok(())
    }

    /// One write of what is behind the first `written` bytes. A function of its own, so that the slices are not part of
    /// what every idle connection holds.
    fn write_some(&self, stream: &TcpStream, written: usize) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
        let mut count = 0;
        let mut skip = written;
        for slice in self.frames.iter().flat_map(Frame::slices) {
            if skip >= slice.len() {
                skip -= slice.len();
                continue;
            }
            slices[count] = IoSlice::new(&slice[skip..]);
            skip = 0;
            count += 1;
            if count == WRITE_SLICES {
                break;
            }
        }
        let before = self.watch.as_ref().and_then(|watch| watch.before_write());
        let taken = stream.try_write_vectored(&slices[..count]);
        if let (Some(watch), Some(before)) = (&self.watch, before) {
            watch.after_write(before);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use quipu_protocol::header::{RequestHeader, request_frame};
    use quipu_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic};
    use quipu_storage::disk::MemoryDisk;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::net::load::Loads;

    #[test]
    fn memory_follows_what_has_come() {
        let mut input = Input { bytes: vec![0; 10], start: 0 };
        input.make_room(100 * 1024 * 1024);
        assert!(input.bytes.capacity() <= READ_BUFFER_BYTES, "{}", input.bytes.capacity());
        input.bytes.resize(READ_BUFFER_BYTES, 0);
        input.make_room(100 * 1024 * 1024);
        assert!(input.bytes.capacity() <= 2 * READ_BUFFER_BYTES, "{}", input.bytes.capacity());
    }

    #[test]
    fn memory_goes_with_the_request_that_took_it() {
        let large = 1 << 20;
        let mut input = Input { bytes: vec![0; large + 1], start: 0 };
        input.make_room(large + 1);
        assert!(input.bytes.capacity() > large, "it is wanted");
        input.consume(large);
        // One byte of the next request, and nobody knows yet how long that is.
        input.make_room(0);
        assert_eq!(input.pending().len(), 1);
        assert!(input.bytes.capacity() <= 2 * READ_BUFFER_BYTES, "{}", input.bytes.capacity());
    }

    #[test]
    fn consumed_bytes_make_room() {
        let mut input = Input { bytes: (0..100).collect(), start: 0 };
        input.consume(90);
        assert_eq!(input.pending(), (90..100).collect::<Vec<u8>>());
        input.make_room(20);
        assert_eq!((input.start, input.bytes.len()), (0, 10));
        input.consume(10);
        assert!(input.pending().is_empty());
    }

    fn broker() -> Arc<Broker> {
        let disk = Arc::new(MemoryDisk::new());
        Broker::open(Config::default(), disk, Path::new("/data"), Clock::manual(0, 1)).unwrap()
    }

    /// Both ends of a connection: the client's, and ours.
    async fn ends() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn an_idle_connection_is_small() {
        let broker = broker();
        let (_client, stream) = ends().await;
        let address = stream.local_addr().unwrap();
        let gauge = Gauge::new(Loads::new(1), 0);
        let caller = api::Caller { broker: &broker, peer_addr: address, local_addr: address, turn: None };
        let answer = size_of_val(&api::answer(caller, &[], Vec::new()));
        let whole = size_of_val(&serve(stream, &broker, BufferPool::default(), &gauge));
        println!("an idle connection is {whole} bytes, {answer} of them to answer");
        // A thousand of them are idle for each that works, so what is rare is boxed.
        assert!(whole <= 2_500, "{whole} bytes, {answer} of them to answer");
    }

    /// Serves one connection while `peer` does something with its end. Time stands still but for what `peer` passes.
    async fn served<F: Future<Output = ()>>(broker: &Arc<Broker>, peer: impl FnOnce(TcpStream) -> F) {
        tokio::time::pause();
        // While a blocking task runs, tokio does not move the time by itself whenever nothing else is to be done.
        let (_ends_with_us, ended) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || ended.recv());
        let (client, stream) = ends().await;
        let gauge = Gauge::new(Loads::new(1), 0);
        tokio::join!(serve(stream, broker, BufferPool::default(), &gauge), peer(client));
    }

    async fn pass(seconds: u64) {
        for _ in 0..seconds {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }

    /// A request of at least `bytes`: Metadata of topics with long names.
    fn request(bytes: usize) -> Vec<u8> {
        let header = RequestHeader { api_key: 3, api_version: 9, correlation_id: 7, client_id: None };
        let topic = MetadataRequestTopic { name: Some("t".repeat(249).into()), ..Default::default() };
        let topics = Some(vec![topic; bytes.div_ceil(249)]);
        let body = MetadataRequest { topics, ..Default::default() };
        request_frame(&header, &body, Vec::new()).to_vec()
    }

    async fn answered(client: &mut TcpStream) {
        let mut answer = vec![0; client.read_i32().await.expect("an answer") as usize];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[..4], 7_i32.to_be_bytes());
    }

    #[tokio::test]
    async fn a_large_request_leaves_nothing_behind() {
        let broker = broker();
        let all = broker.request_memory.free_kibibytes();
        served(&broker, async |mut client| {
            client.write_all(&request(300_000)).await.unwrap();
            answered(&mut client).await;
            assert_eq!(broker.request_memory.free_kibibytes(), all, "memory is held while nothing comes");
            // Half of connections.max.idle.ms.
            pass(300).await;
            client.write_all(&request(1)).await.unwrap();
            answered(&mut client).await;
        })
        .await;
    }

    #[tokio::test]
    async fn each_of_many_large_requests_has_its_own_time() {
        let broker = broker();
        served(&broker, async |mut client| {
            let request = request(200_000);
            let (front, back) = request.split_at(100_000);
            client.write_all(front).await.unwrap();
            for _ in 0..30 {
                pass(5).await;
                // The next one is there in part before this one is answered.
                client.write_all(&[back, front].concat()).await.unwrap();
                answered(&mut client).await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_large_request_that_comes_byte_by_byte_ends_the_connection() {
        let broker = broker();
        served(&broker, async |mut client| {
            client.write_all(&request(300_000)[..1_000]).await.unwrap();
            // Its time begins with the second read.
            for _ in 0..4 {
                pass(9).await;
                client.write_all(&[0]).await.expect("there is time left");
            }
            tokio::select! {
                end = client.read_u8() => assert!(end.is_err(), "an answer to half a request"),
                () = pass(10) => panic!("the connection is still there"),
            }
        })
        .await;
    }
}
