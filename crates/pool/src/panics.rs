//! Panics of code that is not ours.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs what may panic: `None` when it did. What it panicked with is not dropped, since that may panic too.
pub(crate) fn contain<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).map_err(std::mem::forget).ok()
}
