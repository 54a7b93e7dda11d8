//! Lines that stay, and below them a table that is drawn anew: on a terminal. Elsewhere there are only lines.

use parking_lot::Mutex;

use crate::cli::exit::Failure;
use crate::cli::output::Printer;

/// Clears from the cursor to the end of the terminal.
const CLEAR: &str = "\u{1b}[J";

struct Drawn<'p, 'a> {
    printer: &'p mut Printer<'a>,
    /// Rows of the table that are on the terminal now.
    rows: usize,
    table: String,
}

/// Shared by whoever has lines and whoever has the table; locked for one drawing at a time.
pub struct Screen<'p, 'a> {
    drawn: Mutex<Drawn<'p, 'a>>,
    live: bool,
}

impl<'p, 'a> Screen<'p, 'a> {
    /// On what a command prints to.
    pub fn new(printer: &'p mut Printer<'a>) -> Self {
        let live = printer.io.terminal && !printer.machine();
        Self { live, drawn: Mutex::new(Drawn { printer, rows: 0, table: String::new() }) }
    }

    /// Whether there is a table at all.
    pub fn live(&self) -> bool {
        self.live
    }

    /// Prints something above the table.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn print(&self, print: impl FnOnce(&mut Printer<'a>) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut drawn = self.drawn.lock();
        drawn.erase()?;
        print(drawn.printer)?;
        drawn.draw()
    }

    /// Shows another table; nothing where there is none.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn table(&self, table: String) -> Result<(), Failure> {
        if !self.live {
            return Ok(());
        }
        let mut drawn = self.drawn.lock();
        drawn.erase()?;
        drawn.table = table;
        drawn.draw()
    }
}

impl Drawn<'_, '_> {
    fn erase(&mut self) -> Result<(), Failure> {
        match std::mem::take(&mut self.rows) {
            0 => Ok(()),
            rows => self.printer.part(&format!("\u{1b}[{rows}A\r{CLEAR}")),
        }
    }

    fn draw(&mut self) -> Result<(), Failure> {
        if self.table.is_empty() {
            return Ok(());
        }
        self.printer.line("")?;
        self.printer.line(&self.table)?;
        self.rows = self.table.lines().count() + 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Output;
    use crate::cli::output::Io;

    fn printed(terminal: bool) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let io = Io { out: &mut out, err: &mut err, input: None, terminal };
        let mut printer = Printer { io, form: Output::Table, colour: false };
        let screen = Screen::new(&mut printer);
        screen.print(|printer| printer.line("first")).unwrap();
        screen.table("a\nb".into()).unwrap();
        screen.print(|printer| printer.line("second")).unwrap();
        screen.table("c".into()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_stays_below_the_lines() {
        assert_eq!(printed(true), "first\n\na\nb\n\u{1b}[3A\r\u{1b}[Jsecond\n\na\nb\n\u{1b}[3A\r\u{1b}[J\nc\n");
        assert_eq!(printed(false), "first\nsecond\n");
    }
}
