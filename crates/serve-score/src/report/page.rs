//! A page of HTML that needs nothing else, light or dark as its reader has it, and readable on a phone: where there is little room a
//! table's rows become cards.

use std::fmt::{self, Write};

const STYLE: &str = include_str!("style.css");

/// Text with the characters that HTML reads as its own written out.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

/// A page under way.
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// Begins one.
    pub(crate) fn new(title: &str, subtitle: &str) -> Self {
        let (title, subtitle) = (Escaped(title), Escaped(subtitle));
        let text = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<header><h1>{title}</h1><p>{subtitle}</p></header>\n<main>\n"
        );
        Self { text }
    }

    /// Adds what is HTML already.
    pub(crate) fn push(&mut self, html: impl fmt::Display) {
        // A string takes what is written to it.
        let _ = writeln!(self.text, "{html}");
    }

    /// Begins a section.
    pub(crate) fn section(&mut self, title: &str) {
        self.push(format_args!("<h2>{}</h2>", Escaped(title)));
    }

    /// Figures side by side: what, how much, and a remark.
    pub(crate) fn tiles(&mut self, tiles: &[(&str, String, String)]) {
        self.push("<div class=\"tiles\">");
        for (what, figure, remark) in tiles {
            let (what, figure, remark) = (Escaped(what), Escaped(figure), Escaped(remark));
            self.push(format_args!("<div><span>{what}</span><b>{figure}</b><small>{remark}</small></div>"));
        }
        self.push("</div>");
    }

    /// A table of figures; its cells are HTML already.
    pub(crate) fn table(&mut self, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.push("<table>");
        self.cells(heads, rows);
    }

    /// A table of words.
    pub(crate) fn words(&mut self, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.push("<table class=\"words\">");
        self.cells(heads, rows);
    }

    fn cells(&mut self, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.push("<thead><tr>");
        heads.iter().for_each(|head| self.push(format_args!("<th>{}</th>", Escaped(head))));
        self.push("</tr></thead><tbody>");
        for row in rows {
            self.push("<tr>");
            for (cell, head) in row.iter().zip(heads) {
                self.push(format_args!("<td data-head=\"{}\">{cell}</td>", Escaped(head)));
            }
            self.push("</tr>");
        }
        self.push("</tbody></table>");
    }

    /// Facts by name; those without a value are left out.
    pub(crate) fn facts(&mut self, facts: &[(&str, String)]) {
        self.push("<dl>");
        for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
            self.push(format_args!("<dt>{}</dt><dd>{}</dd>", Escaped(name), Escaped(fact)));
        }
        self.push("</dl>");
    }

    /// Ends it.
    pub(crate) fn finish(mut self, footer: &str) -> String {
        self.push(format_args!("</main>\n<footer>{}</footer>\n</body>\n</html>", Escaped(footer)));
        self.text
    }
}

/// A number of things, its digits in threes.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share in per cent: none, or with enough digits to be told from none.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        x if x < 0.01 => "< 0.01 %".to_owned(),
        x if x < 1.0 => format!("{x:.2} %"),
        x => format!("{x:.1} %"),
    }
}

/// A number with four digits that mean something.
pub(crate) fn number(x: f64) -> String {
    let magnitude = x.abs();
    if x == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e7).contains(&magnitude) {
        return format!("{x:.2e}");
    }
    let decimals = (3 - magnitude.log10().floor() as i32).clamp(0, 7) as usize;
    let text = format!("{x:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Bytes in the greatest unit that they fill.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut amount, mut unit) = (bytes as f64, 0);
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!((count(0), count(999), count(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
        assert_eq!(
            (percent(0.0), percent(1e-6), percent(0.005), percent(0.5)),
            ("0 %".into(), "< 0.01 %".into(), "0.50 %".into(), "50.0 %".into())
        );
        for (x, text) in [
            (0.0, "0"),
            (0.125, "0.125"),
            (-12.0, "-12"),
            (1234.56, "1235"),
            (1e9, "1.00e9"),
            (0.000_123_4, "0.0001234"),
        ] {
            assert_eq!(number(x), text);
        }
        assert_eq!((bytes(12), bytes(1 << 21)), ("12 bytes".into(), "2.0 MiB".into()));
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        assert_eq!(Escaped("<b a='1'>&\"").to_string(), "&lt;b a=&#39;1&#39;&gt;&amp;&quot;");
    }
}
