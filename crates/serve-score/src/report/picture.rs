//! Histograms as pictures: bars of what is there now, and a line of what was in training.

use std::fmt::Write;

use super::bars::{Bar, CategoryBar, Histogram};
use super::page::{Escaped, number, percent};

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 100.0;

/// A histogram as HTML.
pub(super) fn histogram(histogram: &Histogram, name: &str, axis: bool) -> String {
    match histogram {
        Histogram::Numbers(bars) if bars.iter().all(|bar| bar.share == 0.0) => String::new(),
        Histogram::Numbers(bars) => numbers(bars, name, axis),
        Histogram::Categories(bars) => categories(if axis { bars } else { &bars[..bars.len().min(4)] }),
    }
}

fn numbers(bars: &[Bar], name: &str, axis: bool) -> String {
    let greatest =
        bars.iter().map(|bar| bar.share.max(bar.training_share.unwrap_or(0.0))).fold(0.0, f64::max);
    let y = |share: f64| HEIGHT - share / greatest * (HEIGHT - 4.0);
    let step = WIDTH / bars.len() as f64;
    let (mut now, mut then) = (String::new(), String::new());
    for (at, bar) in bars.iter().enumerate() {
        let (left, right) = (step * at as f64, step * (at + 1) as f64);
        if bar.share > 0.0 {
            let _ =
                write!(now, "M{:.1} {HEIGHT}V{:.1}H{:.1}V{HEIGHT}Z", left + 0.5, y(bar.share), right - 0.5);
        }
        if let Some(share) = bar.training_share {
            let start = if at == 0 { 'M' } else { 'L' };
            let _ = write!(then, "{start}{left:.1} {:.1}H{right:.1}", y(share));
        }
    }
    let (low, high) = (bars.first().map_or(0.0, |bar| bar.from), bars.last().map_or(0.0, |bar| bar.to));
    let (low, high, name) = (number(low), number(high), Escaped(name));
    let mut text = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{name} from {low} to {high}\"><path class=\"now\" d=\"{now}\"/>"
    );
    if !then.is_empty() {
        let _ = write!(text, "<path class=\"then\" d=\"{then}\"/>");
    }
    let _ = write!(text, "<path class=\"base\" d=\"M0 {HEIGHT}H{WIDTH}\"/></svg>");
    if axis {
        let _ = write!(text, "<div class=\"axis\"><span>{low}</span><span>{high}</span></div>");
    }
    text
}

fn categories(bars: &[CategoryBar]) -> String {
    bars.iter().map(|bar| share(&bar.name, bar.share, bar.training_share)).collect()
}

/// A share of a whole with its name, and where it was in training.
pub(super) fn share(name: &str, share: f64, training: Option<f64>) -> String {
    let mark =
        training.map(|share| format!("<b style=\"left:{:.1}%\"></b>", share * 100.0)).unwrap_or_default();
    format!(
        "<div class=\"share\"><span>{}</span><div><i style=\"width:{:.1}%\"></i>{mark}</div><em>{}</em></div>",
        Escaped(name),
        share * 100.0,
        percent(share)
    )
}
