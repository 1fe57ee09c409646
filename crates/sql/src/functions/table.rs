//! A table of names that the compiler builds, so that a call costs one look-up whatever the lists hold.

use super::Verdict;

const SLOTS: usize = 8192;
const EMPTY: u16 = u16::MAX;

/// Where the lists of harmless names start among the numbers that the slots hold.
const FIRST: usize = 1 << 14;
const SECOND: usize = 2 << 14;

/// An open-addressed table over the names of functions, all in lower case.
pub(super) struct NameTable {
    slots: [u16; SLOTS],
    effects: &'static [(&'static str, Verdict)],
    reads: [&'static [&'static str]; 2],
}

impl NameTable {
    /// A name that has an effect is looked up as such, even where it is on another list too.
    pub(super) const fn new(
        effects: &'static [(&'static str, Verdict)],
        reads: [&'static [&'static str]; 2],
    ) -> Self {
        let mut slots = [EMPTY; SLOTS];
        let mut i = 0;
        while i < effects.len() {
            put(&mut slots, effects[i].0, i);
            i += 1;
        }
        let mut list = 0;
        while list < 2 {
            let first = if list == 0 { FIRST } else { SECOND };
            let mut i = 0;
            while i < reads[list].len() {
                put(&mut slots, reads[list][i], first + i);
                i += 1;
            }
            list += 1;
        }
        Self { slots, effects, reads }
    }

    /// What a call of that function does.
    pub(super) fn verdict(&self, name: &[u8]) -> Verdict {
        let mut slot = slot_of(name);
        loop {
            let number = self.slots[slot];
            if number == EMPTY {
                return Verdict::Unknown;
            }
            let number = usize::from(number);
            let (known, verdict) = match number {
                0..FIRST => self.effects[number],
                FIRST..SECOND => (self.reads[0][number - FIRST], Verdict::Reads),
                _ => (self.reads[1][number - SECOND], Verdict::Reads),
            };
            if known.as_bytes() == name {
                return verdict;
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

const fn put(slots: &mut [u16; SLOTS], name: &str, number: usize) {
    let mut slot = slot_of(name.as_bytes());
    while slots[slot] != EMPTY {
        slot = (slot + 1) % SLOTS;
    }
    #[expect(clippy::cast_possible_truncation, reason = "three lists of less than 2^14 names")]
    {
        slots[slot] = number as u16;
    }
}

/// Mixes eight bytes at a time.
const fn slot_of(name: &[u8]) -> usize {
    let mut hash = name.len() as u64;
    let mut rest = name;
    while let Some((eight, more)) = rest.split_first_chunk() {
        hash = mix(hash, u64::from_le_bytes(*eight));
        rest = more;
    }
    let mut last = 0;
    let mut i = 0;
    while i < rest.len() {
        last |= (rest[i] as u64) << (8 * i);
        i += 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
    {
        mix(hash, last) as usize % SLOTS
    }
}

const fn mix(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}
