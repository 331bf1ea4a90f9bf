//! Durations, sizes, counts and columns as a person reads them.

/// `45 ms`, `3.2 s`, `1 min 05 s`, `2 h 40 min`, `3 d 04 h`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 0.9995 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// Milliseconds since the epoch as a day and a time of it: `2026-11-24 23:10:05`.
#[must_use]
pub fn date(milliseconds: u64) -> String {
    let (days, seconds) = (milliseconds / 86_400_000, milliseconds / 1_000 % 86_400);
    // Years begin in March here, so that the day that comes and goes is their last; 719,468 days lie before 1970.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// `512 B`, `96.2 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut name = "B";
    for unit in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        name = unit;
    }
    if name == "B" { format!("{bytes} B") } else { format!("{value:.1} {name}") }
}

/// `5.1M tokens`, `13.4 TFLOP`, `820 tokens`: units in capitals take the prefix, others leave it to the number.
#[must_use]
pub fn short(value: f64, unit: &str) -> String {
    const PREFIXES: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    let mut value = value;
    let mut prefix = "";
    for next in PREFIXES {
        if value < 999.5 {
            break;
        }
        value /= 1e3;
        prefix = next;
    }
    let number = if prefix.is_empty() || value >= 99.95 { format!("{value:.0}") } else { format!("{value:.1}") };
    let attached = unit.chars().all(|c| c.is_ascii_uppercase());
    if attached { format!("{number} {prefix}{unit}") } else { format!("{number}{prefix} {unit}") }
}

/// `10,400`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 step`, `2 steps`.
#[must_use]
pub fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number as u64))
}

/// A figure with three to four digits that say something: `0.0312`, `12.50`, `1.2e-7`.
#[must_use]
pub fn figure(value: f64) -> String {
    let size = value.abs();
    if value == value.trunc() && size < 1e6 {
        format!("{value}")
    } else if !(1e-3..1e6).contains(&size) {
        format!("{value:.2e}")
    } else if size >= 100.0 {
        format!("{value:.1}")
    } else if size >= 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Sets rows in columns two blanks apart, each as wide as its widest cell. No line ends in blanks.
#[must_use]
pub fn columns(rows: &[Vec<String>], aligns: &[Align]) -> String {
    let mut columns = Columns::new(aligns);
    rows.iter().for_each(|row| columns.row(row));
    columns.finish()
}

/// Rows that are to be set in columns, as [`columns`] does. There may be a hundred thousand, so all cells share one text.
pub struct Columns {
    aligns: Vec<Align>,
    widths: Vec<usize>,
    text: String,
    /// For each cell where it ends in the text, and its width.
    cells: Vec<(u32, u32)>,
}

impl Columns {
    #[must_use]
    pub fn new(aligns: &[Align]) -> Self {
        Self { aligns: aligns.to_vec(), widths: vec![0; aligns.len()], text: String::new(), cells: Vec::new() }
    }

    /// Adds a row; what it lacks in cells is empty.
    pub fn row(&mut self, row: &[impl AsRef<str>]) {
        let cells = row.iter().map(AsRef::as_ref).chain(std::iter::repeat(""));
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            let count = cell.chars().count();
            *width = (*width).max(count);
            self.text.push_str(cell);
            self.cells.push((self.text.len() as u32, count as u32));
        }
    }

    /// The rows, each on a line of its own.
    #[must_use]
    pub fn finish(self) -> String {
        let mut lines = String::new();
        let mut start = 0;
        for row in self.cells.chunks(self.widths.len().max(1)) {
            for (((end, count), width), align) in row.iter().zip(&self.widths).zip(&self.aligns) {
                let (end, count) = (*end as usize, *count as usize);
                let cell = self.text.get(start..end).unwrap_or_default();
                start = end;
                // A column that is empty throughout takes no place.
                if *width == 0 {
                    continue;
                }
                let blanks = || std::iter::repeat_n(' ', width - count);
                match align {
                    Align::Left => {
                        lines.push_str(cell);
                        lines.extend(blanks());
                    }
                    Align::Right => {
                        lines.extend(blanks());
                        lines.push_str(cell);
                    }
                }
                lines.push_str("  ");
            }
            lines.truncate(lines.trim_end_matches(' ').len());
            lines.push('\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let dates = [0, 951_782_399_000, 951_782_400_000, 1_709_251_199_999, 1_795_561_805_123, 4_107_542_400_000];
        assert_eq!(
            dates.map(date),
            [
                "1970-01-01 00:00:00",
                "2000-02-28 23:59:59",
                "2000-02-29 00:00:00",
                "2024-02-29 23:59:59",
                "2026-11-24 23:10:05",
                "2100-03-01 00:00:00",
            ]
        );
    }

    #[test]
    fn durations_and_sizes_and_counts() {
        let durations = [0.0453, 0.9999, 3.21, 9.96, 59.4, 65.0, 9_600.0, 273_600.0].map(duration);
        assert_eq!(durations, ["45 ms", "1.0 s", "3.2 s", "10 s", "59 s", "1 min 05 s", "2 h 40 min", "3 d 04 h"]);
        assert_eq!([512, 1536, 100_900_000].map(size), ["512 B", "1.5 KiB", "96.2 MiB"]);
        let shorts =
            [short(820.0, "tokens"), short(5.12e6, "tokens"), short(13.4e12, "FLOP"), short(999_600.0, "FLOP")];
        assert_eq!(shorts, ["820 tokens", "5.1M tokens", "13.4 TFLOP", "1.0 MFLOP"]);
        assert_eq!([7, 1_000, 10_400, 1_234_567].map(count), ["7", "1,000", "10,400", "1,234,567"]);
        assert_eq!([counted(1, "step"), counted(0, "step")], ["1 step", "0 steps"]);
        let figures = [3.0, 0.03125, 12.5, 314.159, 1.2e-7].map(figure);
        assert_eq!(figures, ["3", "0.0312", "12.50", "314.2", "1.20e-7"]);
    }
}
