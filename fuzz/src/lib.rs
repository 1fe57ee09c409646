//! What holds of `millpond-sql` for any text. Each function takes the bytes of a fuzzer and panics with a finding, so
//! that fuzzers and tests run the same.

mod classify;
pub mod differential;
pub mod seeds;
pub mod smoke;

pub use classify::classify;
pub use differential::differential;

/// The bytes as a text; what is no UTF-8 becomes U+FFFD, as in most services' logs.
#[must_use]
pub fn text(data: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(data)
}
