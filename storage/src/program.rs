//! Which of this process's pages are those of the program's own file, unchanged.

use std::io;
use std::ops::Range;

/// A part of the program's file as it is mapped: its addresses, and how many bytes of it are in memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unchanged {
    pub(crate) addresses: Range<usize>,
    pub(crate) resident_bytes: usize,
}

/// The maps of the program's own file that nobody can write and of which no page was ever written: not those that the
/// loader fills with addresses, nor code in which a debugger has set a breakpoint.
pub(crate) fn unchanged() -> io::Result<Vec<Unchanged>> {
    let program = std::fs::read_link("/proc/self/exe")?;
    let maps = std::fs::read_to_string("/proc/self/smaps")?;
    Ok(program.to_str().map_or_else(Vec::new, |program| unchanged_in(&maps, program)))
}

fn unchanged_in(maps: &str, program: &str) -> Vec<Unchanged> {
    let mut found = Vec::new();
    // The map that the lines are about, if it is one of those.
    let mut current: Option<Unchanged> = None;
    for line in maps.lines() {
        let bytes = |name: &str| -> Option<usize> {
            let kib = line.strip_prefix(name)?.strip_suffix("kB")?.trim();
            kib.parse::<usize>().ok()?.checked_mul(1024)
        };
        if let Some(resident) = bytes("Rss:") {
            if let Some(map) = &mut current {
                map.resident_bytes = resident;
            }
        } else if let Some(written) = bytes("Anonymous:") {
            found.extend(current.take().filter(|_| written == 0));
        } else if let Some(addresses) = addresses(line, program) {
            current = addresses.map(|addresses| Unchanged { addresses, resident_bytes: 0 });
        }
    }
    found
}

/// `None` if the line begins no map, `Some(None)` if it is none of the program's, or one that can be written.
fn addresses(line: &str, program: &str) -> Option<Option<Range<usize>>> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let hex = |text| usize::from_str_radix(text, 16).ok();
    let range = hex(start)?..hex(end)?;
    let is_ours = matches!(rest.get(..5), Some("r-xp " | "r--p ")) && rest.ends_with(&format!(" {program}"));
    Some(is_ours.then_some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unwritten_maps_of_the_program_count() {
        let map = |head: &str, anonymous: u32| {
            format!("{head}\nSize: 99 kB\nRss: 12 kB\nAnonymous: {anonymous} kB\nVmFlags: rd mr\n")
        };
        let maps = [
            map("1000-4000 r--p 00000000 fe:00 12   /bin/a b", 0),
            map("4000-8000 r-xp 00003000 fe:00 12   /bin/a b", 0),
            map("8000-9000 r--p 00007000 fe:00 12   /bin/a b", 4),
            map("9000-a000 rw-p 00008000 fe:00 12   /bin/a b", 0),
            map("a000-b000 r--s 00008000 fe:00 12   /bin/a b", 0),
            map("b000-c000 r-xp 00000000 fe:00 13   /lib/libc.so.6", 0),
            map("c000-d000 r-xp 00000000 fe:00 13   /lib/b", 0),
            map("d000-e000 r--p 00000000 00:00 0 ", 0),
        ]
        .concat();
        let part = |addresses| Unchanged { addresses, resident_bytes: 12 << 10 };
        assert_eq!(unchanged_in(&maps, "/bin/a b"), [part(0x1000..0x4000), part(0x4000..0x8000)]);
        assert_eq!(unchanged_in(&maps, "/bin/c"), []);
        assert_eq!(unchanged_in("1000-4000 r--p 00000000 fe:00 12 /bin/c\nRss: 1 kB\n", "/bin/c"), []);
    }
}
