//! What people and programs see: whole lines, colour on a terminal only, quiet when the reader has gone.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::error::CliError;

fn written(result: io::Result<()>) -> Result<(), CliError> {
    match result {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(CliError::OutputClosed),
        Err(e) => Err(CliError::file("can't write to", "standard output", e)),
    }
}

/// Writes `text` and a line feed to standard output, and flushes.
pub(crate) fn line(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()))
}

/// Writes one JSON object as a line.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(|e| CliError::Node(format!("can't print the answer: {e}")))?;
    line(&text)
}

/// Says something to whoever watches; never an error, and never in the way of the output.
pub(crate) fn note(text: &str) {
    // Nobody may be listening; there is no one left to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Colours, where they are wanted.
#[derive(Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For standard output: a terminal, and no `NO_COLOR`.
    pub(crate) fn stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        Paint(io::stdout().is_terminal() && !refused && !dumb)
    }

    /// Without colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Paint(false)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Black on white.
    pub(crate) fn ink(self, text: &str) -> String {
        self.wrap("38;2;0;0;0;48;2;255;255;255", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }
}

/// One line on standard error that is drawn over and over; silent unless standard error is a terminal.
pub(crate) struct Progress {
    live: bool,
    drawn: bool,
}

impl Progress {
    /// Silent when the output is for programs.
    pub(crate) fn new(quiet: bool) -> Self {
        Progress { live: !quiet && io::stderr().is_terminal(), drawn: false }
    }

    /// Whether anybody sees it.
    pub(crate) fn live(&self) -> bool {
        self.live
    }

    /// Replaces the line.
    pub(crate) fn show(&mut self, text: &str) {
        if self.live {
            self.drawn = true;
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush());
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\x1b[2K").and_then(|()| err.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Prints rows in columns as wide as their widest cell.
pub(crate) fn table(paint: Paint, head: &[&str], rows: &[Vec<String>]) -> Result<(), CliError> {
    let mut widths: Vec<usize> = head.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let layout = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    line(&paint.dim(&layout(&mut head.iter().copied())))?;
    for row in rows {
        line(&layout(&mut row.iter().map(String::as_str)))?;
    }
    Ok(())
}

/// The text without what a terminal would obey: control characters become `\u{..}`. For what strangers wrote.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn a_message_cannot_drive_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\nc\td"), "a\\u{1b}[2Jb\nc\td");
    }
}
