//! Programs that each teach one thing about millpond. See README.md.
