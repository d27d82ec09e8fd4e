//! The report on a job as a page.

use serve_core::drift::{Change, PSI_MAJOR, PSI_MODERATE};

use super::column::{ColumnReport, Drift};
use super::page::{Escaped, Page, bytes, count, number, percent};
use super::picture;
use super::{Files, Report};

/// Files that are listed.
const FILES: usize = 100;

pub(super) fn page(report: &Report) -> String {
    let model = format!("{}@{}", report.model.name, report.model.version);
    let mut page =
        Page::new(&format!("Scores by {model}"), &format!("{}, {}", report.created, report.program));
    page.tiles(&tiles(report));
    scores(report, &mut page);
    rejects(report, &mut page);
    features(report, &mut page);
    provenance(report, &mut page);
    page.finish("PSI: population stability index (Siddiqi 2006), over twentieths of the training values and a bin of missing ones. \
        KS: Kolmogorov-Smirnov statistic, the greatest difference of the two distribution functions. Training ranges are told and never enforced.")
}

fn tiles(report: &Report) -> Vec<(&'static str, String, String)> {
    let share = |rows: u64| percent(rows as f64 / report.rows.read.max(1) as f64);
    let mut tiles = vec![
        ("rows read", count(report.rows.read), String::new()),
        ("answered", count(report.rows.answered), share(report.rows.answered)),
        ("rejected", count(report.rows.rejected), share(report.rows.rejected)),
        (
            "rows per second",
            count(report.speed.rows_per_second as u64),
            format!("{:.1} s, {}", report.speed.seconds, report.speed.place()),
        ),
    ];
    let drifted =
        |change| report.features.iter().filter(|f| f.drift.is_some_and(|d| d.change == change)).count();
    if report.features.iter().any(|feature| feature.drift.is_some()) {
        let (major, moderate) = (drifted(Change::Major), drifted(Change::Moderate));
        let remark = format!("{moderate} moderately, of {}", report.features.len());
        tiles.push(("features that drifted", major.to_string(), remark));
    }
    let worst = report.scores.iter().filter_map(|score| score.drift);
    if let Some(worst) = worst.max_by(|a, b| a.psi.total_cmp(&b.psi)) {
        tiles.push(("drift of the score", format!("PSI {:.3}", worst.psi), read(worst.change).to_owned()));
    }
    tiles
}

fn read(change: Change) -> &'static str {
    match change {
        Change::None => "no change",
        Change::Moderate => "moderate change",
        Change::Major => "major change",
    }
}

fn key(report: &Report, page: &mut Page) {
    let then =
        if report.model.training_rows.is_some() { "<span><i class=\"line\"></i>training</span>" } else { "" };
    page.push(format_args!("<p class=\"key\"><span><i></i>now</span>{then}</p>"));
}

fn scores(report: &Report, page: &mut Page) {
    page.section(&format!("Scores: {}", report.model.target));
    key(report, page);
    page.push("<div class=\"cards\">");
    for score in &report.scores {
        let picture = picture::histogram(&score.histogram, &score.name, true);
        let mean = score.mean.map(|mean| format!("mean {}", number(mean))).unwrap_or_default();
        let drift = score.drift.map(|drift| format!(", {}", drifted(drift))).unwrap_or_default();
        page.push(format_args!(
            "<div class=\"card\"><h3>{}</h3>{picture}<small>{mean}{drift}</small></div>",
            Escaped(&score.name)
        ));
    }
    if !report.labels.is_empty() {
        let shares: String =
            report.labels.iter().map(|label| picture::share(&label.label, label.share, None)).collect();
        page.push(format_args!("<div class=\"card\"><h3>decisions</h3>{shares}</div>"));
    }
    page.push("</div>");
}

fn drifted(drift: Drift) -> String {
    let ks = drift.ks.map(|ks| format!(", KS {ks:.3}")).unwrap_or_default();
    format!("{}{ks}", psi(drift))
}

fn psi(drift: Drift) -> String {
    let class = match drift.change {
        Change::None => "none",
        Change::Moderate => "moderate",
        Change::Major => "major",
    };
    format!("<span class=\"mark {class}\">PSI {:.3}</span>", drift.psi)
}

fn rejects(report: &Report, page: &mut Page) {
    if report.rows.reasons.is_empty() {
        return;
    }
    page.section("Rejected rows");
    let rows = report.rows.reasons.iter().map(|reason| {
        let column = if reason.column.is_empty() { "the row" } else { &reason.column };
        vec![Escaped(column).to_string(), Escaped(&reason.reason).to_string(), count(reason.rows)]
    });
    page.words(&["column", "reason", "rows"], rows);
}

fn features(report: &Report, page: &mut Page) {
    let drift = report.model.training_rows.is_some();
    page.section(if drift { "Features, worst drift first" } else { "Features" });
    match report.model.training_rows {
        Some(rows) => page.push(format_args!(
            "<p class=\"faint\">Against {} training rows. PSI below {PSI_MODERATE} is read as no change, from {PSI_MAJOR} as a major one.</p>",
            count(rows)
        )),
        None => page.push(
            "<p class=\"faint\">This version has no record of its training data, so drift is not known \
             (<code>import --training-data</code> makes one).</p>",
        ),
    }
    key(report, page);
    let heads =
        ["feature", "values", "drift", "KS", "missing", "out of range", "unread or unknown", "mean", "range"];
    page.table(&heads, report.features.iter().map(feature));
}

fn feature(feature: &ColumnReport) -> Vec<String> {
    let share = |rows: u64| rows as f64 / feature.rows.max(1) as f64;
    let bad =
        |text: String, is_bad: bool| if is_bad { format!("<span class=\"bad\">{text}</span>") } else { text };
    let before = feature.training.as_ref().map(|training| training.missing_share);
    let missing = match before {
        Some(before) => format!("{} (was {})", percent(share(feature.missing)), percent(before)),
        None => percent(share(feature.missing)),
    };
    let outside = match (feature.below, feature.above) {
        (0, 0) => "0".to_owned(),
        (below, above) => format!("{} below, {} above", count(below), count(above)),
    };
    let strange = feature.unreadable.max(feature.unknown);
    let range = feature.min.zip(feature.max).map(|(min, max)| format!("{} to {}", number(min), number(max)));
    vec![
        Escaped(&feature.name).to_string(),
        picture::histogram(&feature.histogram, &feature.name, false),
        feature.drift.map(psi).unwrap_or_default(),
        feature.drift.and_then(|drift| drift.ks).map(|ks| format!("{ks:.3}")).unwrap_or_default(),
        bad(missing, before.is_some_and(|before| share(feature.missing) > before + 0.05)),
        bad(outside, share(feature.below + feature.above) > 0.01),
        bad(count(strange), strange > 0),
        feature.mean.map(number).unwrap_or_default(),
        range.unwrap_or_default(),
    ]
}

fn provenance(report: &Report, page: &mut Page) {
    let model = &report.model;
    page.section("Model");
    let window = model.training_window.as_ref().map(|(first, last)| format!("{first} to {last}"));
    page.facts(&[
        ("name", model.name.clone()),
        ("version", model.version.clone()),
        ("digest", model.digest.to_string()),
        ("predicts", model.target.clone()),
        ("kind", model.model_type.clone().unwrap_or_default()),
        ("trained by", model.trained_by.clone()),
        ("trained", model.training_date.clone().unwrap_or_default()),
        ("training rows from", window.unwrap_or_default()),
    ]);
    page.section("Options");
    let options: Vec<(&str, String)> =
        report.options.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    page.facts(&options);
    files("Input", &report.input, page);
    files("Output", &report.output, page);
}

fn files(title: &str, files: &Files, page: &mut Page) {
    page.section(&format!("{title}: {}", files.format));
    let rows = files.files.iter().take(FILES).map(|file| {
        let digest = file.sha256.map_or_else(|| "not taken".to_owned(), |digest| digest.to_string());
        vec![
            Escaped(&file.name).to_string(),
            file.bytes.map(bytes).unwrap_or_default(),
            format!("<code>{digest}</code>"),
        ]
    });
    page.words(&["file", "size", "SHA-256"], rows);
    if files.files.len() > FILES {
        page.push(format_args!("<p class=\"faint\">and {} more</p>", files.files.len() - FILES));
    }
}
