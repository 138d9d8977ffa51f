//! What must be found after a cut: the file system mounts, the broker starts, and everything that the clients were told
//! still holds.

use std::collections::HashMap;

use crate::client::Client;
use crate::device::{Kind, Rack};
use crate::image::{Cut, Cutter, Image, Keep};
use crate::journal::{Batch, Bounds, PLACES, Place, key};
use crate::load::{GROUP, now_ms};
use crate::process::{Broker, Program};
use crate::random::Random;
use crate::wire::{self, Answer, Failure, wrong};

/// A cut that was survived.
pub struct Survived {
    /// The device after a clean unmount, with what was pending sent again.
    pub image: Image,
    /// What is on it.
    pub bounds: Bounds,
    /// Cuts while the broker recovered from this one.
    pub again: u64,
    /// Cuts of those, this one included, that the file system itself did not survive, because they tore a block of its own. They
    /// were made once more with whole blocks.
    pub torn: u64,
}

/// A cut that was not: why, and the image.
pub type Lost = (String, Image);

/// What checks images: a place to mount them and the broker to start on them.
pub struct Bench<'a> {
    pub rack: &'a mut Rack,
    pub program: &'a Program,
    pub kind: Kind,
}

impl Bench<'_> {
    /// Mounts what a cut left, starts the broker on it and looks at everything. `again` is how often the power may go
    /// once more while that happens.
    pub fn check(
        &mut self,
        cut: Cut,
        bounds: &Bounds,
        again: u32,
        random: &mut Random,
    ) -> Result<Survived, Lost> {
        let Cut { image, whole } = cut;
        let lost = match self.check_image(image.clone(), bounds.clone(), again, random) {
            Ok(survived) => return Ok(survived),
            Err((text, at)) => (text, at.unwrap_or_else(|| image.clone())),
        };
        match whole {
            Some(whole) if self.kind.examine(self.rack, image).is_err() => {
                let mut survived = self.check(Cut { image: whole, whole: None }, bounds, again, random)?;
                survived.torn += 1;
                Ok(survived)
            }
            _ => Err(lost),
        }
    }

    fn check_image(
        &mut self,
        image: Image,
        mut bounds: Bounds,
        again: u32,
        random: &mut Random,
    ) -> Result<Survived, (String, Option<Image>)> {
        let here = |text: String| (text, None);
        let device = self
            .rack
            .mount(self.kind, image)
            .map_err(|error| here(format!("the file system does not mount: {error}")))?;
        let position = device.position();
        let broker = self.program.serve(device.dir()).map_err(here)?;
        let mut client = Client::new(&broker);
        let first = bounds.clone();
        look(&mut client, &mut bounds).map_err(|failure| here(failure.into_text()))?;
        let looked = (position(), bounds.clone());
        send_again(&mut client, &mut bounds).map_err(|failure| here(failure.into_text()))?;
        let sent = (position(), bounds.clone());
        end(broker, random).map_err(here)?;
        let tape = device.unmount().map_err(|error| here(error.to_string()))?;
        let mut survived = Survived { image: tape.now.clone(), bounds, again: 0, torn: 0 };
        if again > 0 {
            // Mostly while it recovers, now and then while the clients send again.
            let upto = if random.one_in(4) { sent.0 } else { looked.0 };
            let at = random.below(upto as u64 + 1) as usize;
            let bounds = match at {
                at if at >= sent.0 => sent.1,
                at if at >= looked.0 => {
                    let ends =
                        looked.1.ends.iter().zip(&sent.1.ends).map(|(looked, sent)| (looked.0, sent.1));
                    Bounds { ends: ends.collect(), pending: first.pending, ..looked.1 }
                }
                _ => first,
            };
            let keep = Keep::draw(random);
            let cut = Cutter::new(tape.start, tape.events).cut(at, keep, random);
            let deeper = self.check(cut, &bounds, again - 1, random).map_err(|(text, image)| {
                (format!("cut again at {at} of {upto} (kept {keep:?}): {text}"), Some(image))
            })?;
            survived.again += 1 + deeper.again;
            survived.torn += deeper.torn;
        }
        Ok(survived)
    }
}

fn end(broker: Broker, random: &mut Random) -> Result<(), String> {
    if random.one_in(3) {
        return broker.stop();
    }
    broker.kill();
    Ok(())
}

/// Narrows a range to what was found. Anything between will do: a request that a kill left without an answer may have
/// been carried out, and another one may have come after it.
fn settle(what: &str, range: &mut (i64, i64), found: i64) -> Answer<()> {
    if found < range.0 || found > range.1 {
        return wrong(format!("{what}: found {found}, expected {} to {}", range.0, range.1));
    }
    *range = (found, found);
    Ok(())
}

/// Looks at everything, and leaves in the bounds what was found.
fn look(client: &mut Client, bounds: &mut Bounds) -> Answer<()> {
    let names = wire::topics(client)?;
    let has = |topic: &str| names.iter().any(|name| name == topic);
    let made = (1..).take_while(|count| has(&format!("t-{count}"))).count() as i64;
    let all = names.iter().filter(|name| name.starts_with("t-")).count() as i64;
    if all != made {
        return wrong(format!("topics are missing, others are there: {names:?}"));
    }
    settle("topics", &mut bounds.topics, made)?;
    for (step, topic) in [(1, PLACES[0].topic), (2, PLACES[3].topic)] {
        if bounds.set_up.0 >= step && !has(topic) {
            return wrong(format!("topic {topic} is gone"));
        }
    }
    for (place, Place { topic, .. }) in PLACES.iter().enumerate() {
        if !has(topic) {
            settle("end of a topic that is not there", &mut bounds.ends[place], 0)?;
            continue;
        }
        read_all(client, place, bounds)?;
    }
    if has(PLACES[0].topic) {
        settle(
            "committed offset",
            &mut bounds.committed,
            wire::committed_offset(client, GROUP, &PLACES[0])?,
        )?;
    }
    let made = i64::from(has(PLACES[0].topic)) + i64::from(has(PLACES[3].topic));
    bounds.set_up.0 = if bounds.set_up.0 == 3 { 3 } else { made };
    let id = wire::producer_id(client)?;
    if bounds.set_up.0 >= 3 && id <= bounds.producer_id {
        return wrong(format!("producer id {id} is given again, after {}", bounds.producer_id));
    }
    Ok(())
}

fn read_all(client: &mut Client, place: usize, bounds: &mut Bounds) -> Answer<()> {
    let name = format!("{}-{}", PLACES[place].topic, PLACES[place].partition);
    let starts = if place == 0 { [bounds.start.0, bounds.start.1] } else { [0, 0] };
    let (mut next, mut start) = (starts[0], None);
    let mut newest = HashMap::new();
    loop {
        let Some(read) = wire::fetch(client, place, next, 0)? else {
            if start.is_none() && next < starts[1] {
                next = starts[1];
                continue;
            }
            return wrong(format!("{name}: {next} is out of range, the log should begin between {starts:?}"));
        };
        start = start.or(Some(read.start));
        for offset in &read.offsets {
            if *offset != next && !PLACES[place].compacted || *offset < next {
                return wrong(format!("{name}: offset {offset} comes after {next}"));
            }
            newest.insert(key(place, *offset), *offset);
            next = offset + 1;
        }
        if read.offsets.is_empty() {
            break;
        }
    }
    let start = start.unwrap_or(0);
    if place == 0 {
        settle("log start", &mut bounds.start, start)?;
        next = next.max(start);
    } else if start != 0 {
        return wrong(format!("{name} begins at {start}"));
    }
    let (least, most) = bounds.ends[place];
    if next < least || next > most {
        return wrong(format!("{name} ends at {next}; {least} was acknowledged or shown, {most} was sent"));
    }
    if next != least && bounds.pending[place].iter().all(|batch| batch.end() != next) {
        return wrong(format!("{name} ends at {next}, in the middle of a batch"));
    }
    if PLACES[place].compacted {
        // Whatever compaction removed was older than another record of its key.
        for offset in 0..next {
            let key = key(place, offset);
            if newest.get(&key).is_none_or(|newest| *newest < offset) {
                return wrong(format!("{name}: the newest record of its key, at {offset}, is gone"));
            }
        }
    }
    bounds.ends[place] = (next, next);
    Ok(())
}

/// Sends what the producer holds unacknowledged, as it would. Each batch must end up where it was meant to be, whether
/// it was there already or not.
fn send_again(client: &mut Client, bounds: &mut Bounds) -> Answer<()> {
    let pending = std::mem::take(&mut bounds.pending);
    for (place, batches) in pending.iter().enumerate() {
        for batch in batches {
            let bytes = batch.bytes(place, bounds.producer_id, now_ms());
            let frame = wire::produce_frame(client, &PLACES[place], &bytes);
            client.try_send_bytes(&frame).map_err(Failure::Gone)?;
            let answer = client.try_receive().map_err(Failure::Gone)?;
            let offset = wire::produced(&answer, &PLACES[place])?;
            if offset != batch.first {
                let text = format!("{}: sent again, it is acknowledged at {offset}", batch.first);
                return wrong(format!("place {place}: the batch for {text}"));
            }
        }
        if let Some(end) = batches.last().map(Batch::end) {
            let found = bounds.ends[place].1;
            bounds.ends[place] = (end, end.max(found));
        }
    }
    bounds.pending = vec![Vec::new(); PLACES.len()];
    for place in 0..PLACES.len() {
        if bounds.ends[place].1 > 0 {
            read_all(client, place, bounds)?;
        }
    }
    Ok(())
}
