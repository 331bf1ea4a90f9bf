//! Events for programs: one JSON object a line.

use std::io::{self, Write};

use crate::run::Event;

/// Writes one event, to be seen at once by whoever reads.
///
/// # Errors
/// Where it cannot be written, as when the reader is gone.
pub fn write(out: &mut dyn Write, event: &Event) -> io::Result<()> {
    serde_json::to_writer(&mut *out, event)?;
    out.write_all(b"\n")?;
    out.flush()
}
