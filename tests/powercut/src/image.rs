//! The bytes of a block device, what was written to it in which order, and what a power cut leaves of that.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::random::Random;

const PAGE_BYTES: usize = 4096;

/// What a device promises to write as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A device's bytes. Copies share the pages that neither side has written since, so that an image after a cut costs
/// little more than what the cut changed.
#[derive(Clone)]
pub struct Image {
    pages: Vec<Option<Arc<[u8; PAGE_BYTES]>>>,
}

impl Image {
    /// Reads a file; its length is a multiple of the page size.
    pub fn load(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut pages = vec![None; (file.metadata()?.len() as usize) / PAGE_BYTES];
        let mut page = [0; PAGE_BYTES];
        for (number, slot) in pages.iter_mut().enumerate() {
            file.read_exact_at(&mut page, (number * PAGE_BYTES) as u64)?;
            if page.iter().any(|byte| *byte != 0) {
                *slot = Some(Arc::new(page));
            }
        }
        Ok(Self { pages })
    }

    /// Writes a file, with holes for what is zero.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.size_bytes())?;
        for (number, page) in self.pages.iter().enumerate() {
            if let Some(page) = page {
                file.write_all_at(&page[..], (number * PAGE_BYTES) as u64)?;
            }
        }
        Ok(())
    }

    pub fn size_bytes(&self) -> u64 {
        (self.pages.len() * PAGE_BYTES) as u64
    }

    /// The bytes from `position` on, fewer than asked for only at the end.
    pub fn read(&self, position: u64, size: usize) -> Vec<u8> {
        let end = self.size_bytes().min(position.saturating_add(size as u64));
        let mut out = vec![0; end.saturating_sub(position) as usize];
        let mut done = 0;
        while done < out.len() {
            let (page, within) = locate(position + done as u64);
            let size = (PAGE_BYTES - within).min(out.len() - done);
            if let Some(bytes) = &self.pages[page] {
                out[done..done + size].copy_from_slice(&bytes[within..within + size]);
            }
            done += size;
        }
        out
    }

    /// False when the bytes do not fit.
    #[must_use]
    pub fn write(&mut self, position: u64, bytes: &[u8]) -> bool {
        if position.saturating_add(bytes.len() as u64) > self.size_bytes() {
            return false;
        }
        let mut done = 0;
        while done < bytes.len() {
            let (page, within) = locate(position + done as u64);
            let size = (PAGE_BYTES - within).min(bytes.len() - done);
            let page = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            Arc::make_mut(page)[within..within + size].copy_from_slice(&bytes[done..done + size]);
            done += size;
        }
        true
    }
}

fn locate(position: u64) -> (usize, usize) {
    (position as usize / PAGE_BYTES, position as usize % PAGE_BYTES)
}

/// Something that a device was asked to do.
pub enum Event {
    Write { position: u64, bytes: Vec<u8> },
    Flush,
}

/// A device and all that happened to it.
pub struct Tape {
    /// As it was at the start.
    pub start: Image,
    /// As it is now.
    pub now: Image,
    pub events: Vec<Event>,
}

impl Tape {
    pub fn new(start: Image) -> Self {
        Self { now: start.clone(), start, events: Vec::new() }
    }

    pub fn write(&mut self, position: u64, bytes: &[u8]) -> bool {
        let fits = self.now.write(position, bytes);
        if fits {
            self.events.push(Event::Write { position, bytes: bytes.to_vec() });
        }
        fits
    }

    pub fn flush(&mut self) {
        if !matches!(self.events.last(), Some(Event::Flush)) {
            self.events.push(Event::Flush);
        }
    }
}

/// How much a cut keeps of what was written and not flushed. What was flushed is always kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    Everything,
    /// Each write or not, as a device with a cache that writes in any order.
    Writes,
    /// Each sector or not.
    Sectors,
    /// All up to somewhere in the middle of a write, at the grain of a sector.
    Torn,
}

impl Keep {
    /// Every second one keeps nothing: that is what shows a missing flush.
    pub fn draw(random: &mut Random) -> Self {
        use Keep::{Everything, Nothing, Sectors, Torn, Writes};
        [Nothing, Nothing, Nothing, Nothing, Everything, Writes, Sectors, Torn][random.below(8) as usize]
    }
}

/// What a power cut leaves.
#[derive(Clone)]
pub struct Cut {
    pub image: Image,
    /// The same with no block of 4 KiB torn, for a file system that does not live through that.
    pub whole: Option<Image>,
}

/// Makes images from a tape, for cuts in rising order.
pub struct Cutter {
    /// With all that was flushed before event `done`.
    durable: Image,
    events: Vec<Event>,
    done: usize,
}

impl Cutter {
    pub fn new(start: Image, events: Vec<Event>) -> Self {
        Self { durable: start, events, done: 0 }
    }

    /// What is found after the power went when `at` events had happened. `at` never falls from call to call.
    pub fn cut(&mut self, at: usize, keep: Keep, random: &mut Random) -> Cut {
        let mut whole = random.clone();
        let image = self.image(at, keep, SECTOR_BYTES, random);
        let is_torn = matches!(keep, Keep::Sectors | Keep::Torn);
        Cut { image, whole: is_torn.then(|| self.image(at, keep, PAGE_BYTES, &mut whole)) }
    }

    fn image(&mut self, at: usize, keep: Keep, grain: usize, random: &mut Random) -> Image {
        let flushed = self.events[..at].iter().rposition(|event| matches!(event, Event::Flush)).unwrap_or(0);
        let flushed = flushed.max(self.done);
        for event in &self.events[self.done..flushed] {
            apply(&mut self.durable, event);
        }
        self.done = flushed;
        let mut image = self.durable.clone();
        let pending = &self.events[flushed..at];
        match keep {
            Keep::Nothing => {}
            Keep::Everything => pending.iter().for_each(|event| apply(&mut image, event)),
            Keep::Writes => {
                pending.iter().filter(|_| random.one_in(2)).for_each(|event| apply(&mut image, event));
            }
            Keep::Sectors => {
                // From most of them to few.
                let kept = 1 + random.below(7);
                for (position, sector) in pending.iter().flat_map(|event| pieces(event, grain)) {
                    if random.below(8) < kept {
                        assert!(image.write(position, sector), "it fitted before");
                    }
                }
            }
            Keep::Torn => {
                let all: Vec<_> = pending.iter().flat_map(|event| pieces(event, grain)).collect();
                let kept = random.below(all.len() as u64 + 1) as usize;
                for (position, sector) in &all[..kept] {
                    assert!(image.write(*position, sector), "it fitted before");
                }
            }
        }
        image
    }
}

fn apply(image: &mut Image, event: &Event) {
    if let Event::Write { position, bytes } = event {
        assert!(image.write(*position, bytes), "it fitted before");
    }
}

fn pieces(event: &Event, grain: usize) -> impl Iterator<Item = (u64, &[u8])> {
    let (position, bytes) = match event {
        Event::Write { position, bytes } => (*position, bytes.as_slice()),
        Event::Flush => (0, &[][..]),
    };
    bytes.chunks(grain).enumerate().map(move |(n, piece)| (position + (n * grain) as u64, piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape() -> Tape {
        let mut tape = Tape::new(Image { pages: vec![None; 4] });
        assert!(tape.write(0, &[1; 1024]));
        tape.flush();
        assert!(tape.write(4000, &[2; 1024]));
        assert!(!tape.write(16 << 10, &[3]));
        tape
    }

    fn cut(at: usize, keep: Keep, seed: u64) -> Vec<u8> {
        let tape = tape();
        Cutter::new(tape.start, tape.events).cut(at, keep, &mut Random(seed)).image.read(0, 1 << 20)
    }

    #[test]
    fn a_cut_keeps_what_was_flushed_and_only_what_was_written() {
        let count = |bytes: &[u8], value: u8| bytes.iter().filter(|byte| **byte == value).count();
        for seed in 0..50 {
            for keep in [Keep::Nothing, Keep::Everything, Keep::Writes, Keep::Sectors, Keep::Torn] {
                let after = cut(3, keep, seed);
                assert_eq!(count(&after, 1), 1024, "{keep:?}");
                assert_eq!(count(&after, 2) % 512, 0, "{keep:?}");
                assert_eq!(count(&cut(2, keep, seed), 2), 0);
            }
            assert_eq!(count(&cut(3, Keep::Everything, seed), 2), 1024);
            assert_eq!(count(&cut(3, Keep::Nothing, seed), 2), 0);
            assert_eq!(count(&cut(1, Keep::Nothing, seed), 1), 0, "nothing was flushed yet");
        }
        let sizes: Vec<_> = (0..50).map(|seed| count(&cut(3, Keep::Sectors, seed), 2)).collect();
        assert!([0, 512, 1024].iter().all(|size| sizes.contains(size)));
    }
}
