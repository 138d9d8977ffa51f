//! A device on which every write and every flush fails from some moment on, under the real broker: it refuses records,
//! goes on giving out those that it acknowledged, says so to whoever asks, and ends with a code that is not 0. On the
//! device, healed, the next one finds what was acknowledged.

use std::time::{Duration, Instant};

use quipu_protocol::ErrorCode;

use crate::client::Client;
use crate::device::{Kind, Rack};
use crate::image::Image;
use crate::journal::{Batch, PLACES};
use crate::load::now_ms;
use crate::process::{Broker, Program};
use crate::wire::{self, Failure};

/// Where records go.
const BAD: usize = 0;
/// Nothing is written here after the device has failed, so that its log is as good as ever.
const UNTOUCHED: usize = 1;

/// Records that are acknowledged before.
const RECORDS: i64 = 20;

/// How long the broker may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lets the device fail under a broker. Gives what went wrong that should not have.
pub fn check(rack: &mut Rack, program: &Program, kind: Kind, empty: Image) -> Result<(), String> {
    let device = rack.mount(kind, empty).map_err(|error| error.to_string())?;
    let broker = program.serve(device.dir())?;
    let failed = fail(&broker, program, &|fails| device.set_failing(fails), &|| {
        // ext4 ends its journal with the first of its own writes that fails, and is read-only from then on; here at once,
        // else some seconds later. XFS would give nothing out any more.
        if kind == Kind::Ext4 {
            let _ = std::fs::File::create(device.dir().join("probe")).and_then(|probe| probe.sync_all());
        }
    });
    // Whatever came of it: the device must come down.
    let ended = failed.and_then(|()| broker.end());
    device.set_failing(false);
    let status = ended?;
    if status.code() != Some(1) {
        return Err(format!("a broker whose writes failed ends with {status}"));
    }
    let words = program.last_words();
    if !words.contains("stopped, but not cleanly") {
        return Err(format!("it does not say why it ends so:\n{words}"));
    }
    let image = device.unmount().map_err(|error| error.to_string())?.now;
    let device = rack.mount(kind, image).map_err(|error| error.to_string())?;
    let again = program.serve(device.dir()).and_then(|broker| {
        let mut client = Client::new(&broker);
        for place in [BAD, UNTOUCHED] {
            find_all(&mut client, place).map_err(|text| format!("after a restart: {text}"))?;
        }
        // The batch that was refused may be there or not.
        match send(&mut client, BAD, RECORDS).map_err(Failure::into_text)? {
            Ok(_) => broker.stop(),
            Err(code) => Err(format!("after a restart on a good device records are refused: {code:?}")),
        }
    });
    device.unmount().map_err(|error| error.to_string())?;
    again
}

/// Sends the record that belongs to an offset.
fn send(client: &mut Client, place: usize, offset: i64) -> wire::Answer<Result<i64, ErrorCode>> {
    let batch = Batch { first: offset, count: 1, sent: 0, acked: None };
    // Without a producer: a refused one is to be refused again for what it is, not for its sequence.
    wire::produce(client, &PLACES[place], &batch.bytes(place, -1, now_ms()))
}

fn find_all(client: &mut Client, place: usize) -> Result<(), String> {
    let mut next = 0;
    while next < RECORDS {
        let read = wire::fetch(client, place, next, 0).map_err(Failure::into_text)?;
        match read.and_then(|read| read.offsets.last().copied()) {
            Some(last) => next = last + 1,
            None => return Err(format!("place {place}: nothing can be read at {next} of {RECORDS}")),
        }
    }
    Ok(())
}

fn fail(
    broker: &Broker,
    program: &Program,
    set_failing: &dyn Fn(bool),
    provoke: &dyn Fn(),
) -> Result<(), String> {
    let mut client = Client::new(broker);
    wire::create_topic(&mut client, PLACES[BAD].topic, 3, &[]).map_err(Failure::into_text)?;
    for place in [BAD, UNTOUCHED] {
        for offset in 0..RECORDS {
            let told = send(&mut client, place, offset).map_err(Failure::into_text)?;
            if told != Ok(offset) {
                return Err(format!("before the device fails, the record for {offset} is told {told:?}"));
            }
        }
    }
    set_failing(true);
    // What is in the log and perhaps not on disk is neither acknowledged nor refused: there is no answer to it.
    match send(&mut client, BAD, RECORDS) {
        Err(Failure::Gone(_)) => client = Client::new(broker),
        // The file system was faster: nothing was written.
        Ok(Err(ErrorCode::KAFKA_STORAGE_ERROR)) => {}
        told => return Err(format!("a record that cannot be synced is told {told:?}")),
    }
    // The device is well again, but what was lost may still look as if it were there: nothing is tried again.
    set_failing(false);
    let refused = send(&mut client, BAD, RECORDS).map_err(Failure::into_text)?;
    if refused != Err(ErrorCode::KAFKA_STORAGE_ERROR) {
        return Err(format!("after a sync that failed, the next record is told {refused:?}"));
    }
    set_failing(true);
    provoke();
    for place in [BAD, UNTOUCHED] {
        find_all(&mut client, place).map_err(|text| format!("while the device fails: {text}"))?;
    }
    if let Some(read) = wire::fetch(&mut client, BAD, RECORDS, 0).map_err(Failure::into_text)?
        && !read.offsets.is_empty()
    {
        return Err("a record is shown that is not on disk".to_owned());
    }
    broker.signal("-USR1")?;
    let deadline = Instant::now() + PATIENCE;
    let name = format!("{}-{} takes no records: ", PLACES[BAD].topic, PLACES[BAD].partition);
    loop {
        let words = program.last_words();
        let failed = words.lines().find_map(|line| line.strip_prefix("quipu_logs_failed_total "));
        if let Some(count) = failed {
            let is_told = words.contains("health: not good") && words.contains(&name);
            if is_told && count.parse().is_ok_and(|count: u64| count >= 1) {
                return Ok(());
            }
            return Err(format!("asked how it is, the broker says:\n{words}"));
        }
        if Instant::now() > deadline {
            return Err(format!("the broker does not say how it is:\n{words}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
