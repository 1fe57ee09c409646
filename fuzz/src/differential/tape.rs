//! Bytes as choices.

use fastrand::Rng;

/// The choices of one input: its bytes, and after them whatever follows from them, so that a short input makes long
/// statements too and the same one always makes the same.
pub(super) struct Tape<'a> {
    bytes: &'a [u8],
    rest: Rng,
}

impl<'a> Tape<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        // FNV-1a, as in the digest: the standard library's hash may change with it.
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self { bytes, rest: Rng::with_seed(bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)) }
    }

    fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => self.rest.u8(..),
        }
    }

    /// A number below `n`, which is at most 65536.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let low = usize::from(self.byte());
        let high = if n > 256 { usize::from(self.byte()) } else { 0 };
        (high * 256 + low) % n.max(1)
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    pub(super) fn pick<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len())]
    }
}
