//! Servers that are started to be measured, and the CPU time that they have taken.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The kernel's unit of time in `/proc`, on every architecture that runs this.
const TICKS_PER_SECOND: u64 = 100;

/// A server that ends with this.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    /// Starts a program that prints its address at the end of the first line of its output. Its log goes nowhere.
    ///
    /// # Errors
    /// When it does not start, or prints no address.
    pub fn start(
        program: &Path,
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(program);
        command.args(arguments).envs(settings.iter().copied());
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = spawned.map_err(|error| format!("{}: {error}", program.display()))?;
        let output = child.stdout.take();
        let mut server = Self { child, url: String::new() };
        let mut line = String::new();
        BufReader::new(output.ok_or("no output")?).read_line(&mut line)?;
        let at = line.find("http://").ok_or_else(|| format!("{}: no address", program.display()))?;
        line.trim_end()[at..].clone_into(&mut server.url);
        Ok(server)
    }

    /// CPU time of all its threads so far, in user and in system.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn cpu(&self) -> Result<Duration, Box<dyn Error>> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field, in parentheses, may have spaces; utime and stime are the 14th and the 15th.
        let fields = stat.rsplit_once(')').ok_or("no stat")?.1;
        let mut ticks = 0;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u64>()?;
        }
        Ok(Duration::from_micros(ticks * 1_000_000 / TICKS_PER_SECOND))
    }
}
