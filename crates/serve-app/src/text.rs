//! Times and numbers as they stand in every answer and every line of the log, written without the formatter's machinery:
//! a request has about twenty of them.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// Bytes of `2025-10-04T13:50:00`.
const SECONDS: usize = 19;

thread_local! {
    /// The second that this thread wrote last, and how it is written.
    static LAST: Cell<(i64, [u8; SECONDS])> = const { Cell::new((i64::MIN, [0; SECONDS])) };
}

/// `.000` to `.999`.
static PLACES: &str = match str::from_utf8(&places()) {
    Ok(places) => places,
    Err(_) => "",
};

const fn places() -> [u8; 4_000] {
    let mut places = [b'.'; 4_000];
    let mut number = 0;
    while number < 1_000 {
        places[number * 4 + 1] = b'0' + (number / 100) as u8;
        places[number * 4 + 2] = b'0' + (number / 10 % 10) as u8;
        places[number * 4 + 3] = b'0' + (number % 10) as u8;
        number += 1;
    }
    places
}

/// A time in RFC 3339, UTC, with milliseconds.
///
/// ```
/// let at: jiff::Timestamp = "2025-10-04T13:50:00.123456Z".parse()?;
/// assert_eq!(serve_app::text::Millis(at).to_string(), "2025-10-04T13:50:00.123Z");
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Millis(pub Timestamp);

impl Millis {
    /// Writes it.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn write(self, out: &mut impl fmt::Write) -> fmt::Result {
        match Duration::try_from(self.0.as_duration()) {
            Ok(since) => time(out, since),
            Err(_) => write!(out, "{:.3}", self.0),
        }
    }
}

/// Writes the time so long after 1970 began, as [`Millis`].
///
/// # Errors
/// When `out` does not take it, or it is no time that can be written.
pub fn time(out: &mut impl fmt::Write, since: Duration) -> fmt::Result {
    let seconds = i64::try_from(since.as_secs()).ok().and_then(seconds).ok_or(fmt::Error)?;
    let mut text = *b"2025-10-04T13:50:00.000Z";
    text[..SECONDS].copy_from_slice(&seconds);
    digits(&mut text[SECONDS + 1..SECONDS + 4], since.subsec_millis().into());
    out.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

/// A second after 1970 and before 10000.
fn seconds(second: i64) -> Option<[u8; SECONDS]> {
    let (known, text) = LAST.get();
    if known == second {
        return Some(text);
    }
    let whole = Timestamp::from_second(second).ok().filter(|_| second >= 0)?.to_string();
    let text = *whole.as_bytes().first_chunk()?;
    LAST.set((second, text));
    Some(text)
}

/// The last digits of a number, as many as there is room for.
fn digits(room: &mut [u8], mut number: u64) {
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Writes a whole number.
///
/// # Errors
/// When `out` does not take it.
pub fn whole(out: &mut impl fmt::Write, number: u64) -> fmt::Result {
    out.write_str(itoa::Buffer::new().format(number))
}

/// Writes a number of thousandths with its three places: 1234 is `1.234`.
///
/// # Errors
/// When `out` does not take it.
pub fn thousandths(out: &mut impl fmt::Write, number: u64) -> fmt::Result {
    whole(out, number / 1_000)?;
    let at = (number % 1_000) as usize * 4;
    out.write_str(PLACES.get(at..at + 4).ok_or(fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_library_writes_them() {
        let texts = [
            "1970-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999999Z",
            "1969-12-31T00:00:00.5Z",
            "-000001-01-01T00:00:00.25Z",
            "2025-10-04T13:50:00Z",
            "2025-10-04T13:50:00.0009Z",
            "2025-10-04T13:50:00.999999999Z",
            "2024-02-29T23:59:59.05Z",
            "9999-12-30T21:59:59.999Z",
        ];
        // Twice, so that what is remembered is used.
        for text in texts.iter().flat_map(|text| [text, text]) {
            let at: Timestamp = text.parse().expect("a time");
            assert_eq!(Millis(at).to_string(), format!("{at:.3}"));
        }
    }

    #[test]
    fn numbers_are_written_as_the_formatter_writes_them() {
        for number in (0..=1_001).chain([12_345, 1_000_000, u64::MAX - 1, u64::MAX]) {
            let (mut plain, mut parts) = (String::new(), String::new());
            whole(&mut plain, number).expect("a string takes it");
            thousandths(&mut parts, number).expect("a string takes it");
            assert_eq!(plain, number.to_string());
            assert_eq!(parts, format!("{}.{:03}", number / 1_000, number % 1_000));
        }
    }
}
