//! Where this process has the parts of its own program that nobody can write.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Enough of a program's file for its header and the table of its segments, wherever a linker puts them.
const HEAD_BYTES: usize = 4096;
/// A segment that is loaded (`PT_LOAD`), and its flag for "can be written" (`PF_W`).
const LOADED: u32 = 1;
const WRITABLE: u32 = 2;

/// The addresses of the parts of the program's file that are loaded and that its headers allow nobody to write, the loader
/// included: what it fills with addresses lies in a part that is writable at first. Empty for a program of a form that is
/// not known.
pub(crate) fn unwritable() -> io::Result<Vec<Range<usize>>> {
    let program = std::fs::read_link("/proc/self/exe")?;
    let Some(program) = program.to_str() else { return Ok(Vec::new()) };
    let mut head = [0; HEAD_BYTES];
    let read = File::open("/proc/self/exe")?.read_at(&mut head, 0)?;
    let maps = maps_of(BufReader::new(File::open("/proc/self/maps")?), program)?;
    let page = rustix::param::page_size();
    Ok(segments(&head[..read], page).map_or_else(Vec::new, |segments| placed(&segments, &maps)))
}

/// A segment as the file describes it: whole pages, relative to where the program is put.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    pages: Range<usize>,
    is_writable: bool,
}

/// The segments that are loaded, by the headers of a 64-bit ELF file of this machine's byte order.
fn segments(head: &[u8], page: usize) -> Option<Vec<Segment>> {
    let is_little = cfg!(target_endian = "little");
    if !head.starts_with(b"\x7fELF\x02") || head.get(5) != Some(if is_little { &1 } else { &2 }) {
        return None;
    }
    let half = |at: usize| Some(u16::from_ne_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_ne_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| usize::try_from(u64::from_ne_bytes(head.get(at..at + 8)?.try_into().ok()?)).ok();
    let (table, size, count) = (long(32)?, usize::from(half(54)?), usize::from(half(56)?));
    let mut found = Vec::new();
    for n in 0..count {
        let at = table.checked_add(n.checked_mul(size)?).filter(|at| *at < HEAD_BYTES)?;
        if word(at)? == LOADED {
            let (start, len) = (long(at + 16)?, long(at + 40)?);
            let pages = start / page * page..start.checked_add(len)?.checked_next_multiple_of(page)?;
            found.push(Segment { pages, is_writable: word(at + 4)? & WRITABLE != 0 });
        }
    }
    Some(found)
}

/// A line of `/proc/self/maps`.
#[derive(Debug, PartialEq, Eq)]
struct Mapped {
    addresses: Range<usize>,
    is_writable: bool,
}

/// The maps of the program's file, which follow one another.
fn maps_of(lines: impl BufRead, program: &str) -> io::Result<Vec<Mapped>> {
    let mut found = Vec::new();
    for line in lines.lines() {
        let line = line?;
        let one = line.strip_suffix(program).filter(|rest| rest.ends_with(' ')).and_then(mapped);
        match one {
            Some(one) => found.push(one),
            None if found.is_empty() => {}
            None => break,
        }
    }
    Ok(found)
}

fn mapped(line: &str) -> Option<Mapped> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let hex = |text| usize::from_str_radix(text, 16).ok();
    Some(Mapped { addresses: hex(start)?..hex(end)?, is_writable: words.next()?.contains('w') })
}

/// Where the segments that cannot be written are: the first one of all is where the first map is. Only those of which the
/// system says the same count.
fn placed(segments: &[Segment], maps: &[Mapped]) -> Vec<Range<usize>> {
    let (Some(first), Some(map)) = (segments.iter().map(|it| it.pages.start).min(), maps.first()) else {
        return Vec::new();
    };
    let at = |place: usize| (place - first).checked_add(map.addresses.start);
    let unwritable = segments.iter().filter(|segment| !segment.is_writable);
    unwritable
        .filter_map(|segment| Some(at(segment.pages.start)?..at(segment.pages.end)?))
        .filter(|addresses| maps.iter().any(|map| map.addresses == *addresses && !map.is_writable))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u32, flags: u32, start: u64, len: u64) -> Vec<u8> {
        let words = [kind, flags].map(u32::to_ne_bytes).concat();
        words.into_iter().chain([0, start, start, len, len, 4096].map(u64::to_ne_bytes).concat()).collect()
    }

    fn file(headers: &[Vec<u8>]) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[5] = if cfg!(target_endian = "little") { 1 } else { 2 };
        head[32..40].copy_from_slice(&64_u64.to_ne_bytes());
        head[54..56].copy_from_slice(&56_u16.to_ne_bytes());
        head[56..58].copy_from_slice(&(headers.len() as u16).to_ne_bytes());
        head.extend(headers.concat());
        head
    }

    #[test]
    fn what_the_loader_fills_is_not_unwritable() {
        let file = file(&[
            header(6, 4, 0x40, 0x100),
            header(LOADED, 4, 0, 0x2345),
            header(LOADED, 5, 0x3345, 0x1000),
            // The first page of this one cannot be written once the loader is done.
            header(LOADED, 6, 0x5345, 0x2000),
        ]);
        let segments = segments(&file, 4096).unwrap();
        let maps = "\
            10000-13000 r--p 00000000 fe:00 12   /bin/a b\n\
            13000-15000 r-xp 00002000 fe:00 12   /bin/a b\n\
            15000-16000 r--p 00003000 fe:00 12   /bin/a b\n\
            16000-18000 rw-p 00004000 fe:00 12   /bin/a b\n\
            20000-30000 r-xp 00000000 fe:00 13   /lib/libc.so.6\n\
            30000-40000 r-xp 00000000 fe:00 13   /bin/a b\n";
        let maps = maps_of(maps.as_bytes(), "/bin/a b").unwrap();
        assert_eq!(maps.len(), 4);
        assert_eq!(placed(&segments, &maps), [0x10000..0x13000, 0x13000..0x15000]);
        assert_eq!(placed(&segments, &maps[1..]), [], "what the system says differently does not count");
        assert_eq!(placed(&segments, &[]), []);
    }

    #[test]
    fn what_is_no_program_of_this_machine_has_no_segments() {
        let good = file(&[header(LOADED, 4, 0, 1)]);
        assert_eq!(segments(&good, 4096).unwrap().len(), 1);
        // The last word is not asked for.
        for cut in 0..good.len() - 8 {
            let found = segments(&good[..cut], 4096);
            assert!(found.is_none_or(|found| found.is_empty()), "cut at {cut}");
        }
        let mut other = good.clone();
        other[4] = 1;
        assert_eq!(segments(&other, 4096), None);
        // A table beyond everything.
        other = good;
        other[32..40].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert_eq!(segments(&other, 4096), None);
    }
}
