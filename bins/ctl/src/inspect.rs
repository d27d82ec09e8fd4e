//! `inspect`: what a foreign file holds, before it is imported. Of a file that is refused it says what it is, and why.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serve_app::{Exit, ExitReason};
use serve_formats::{FileKind, Format, Summary};

use crate::import::{Found, bytes};
use crate::print;
use crate::table::aligned;

/// Features that the form for people lists by name.
const LISTED: usize = 40;

#[derive(Serialize)]
struct Inspection {
    file: String,
    bytes: usize,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    #[serde(flatten)]
    summary: Option<Summary>,
}

pub(crate) fn run(file: &Path, format: Format, json: bool) -> Result<(), Exit> {
    let found = Found::at(file, format)?;
    let content = bytes(&found.path)?;
    let imported = found.import(&content);
    let kind = FileKind::of(&content).to_string();
    let inspection = Inspection {
        file: found.path.display().to_string(),
        bytes: content.len(),
        kind: kind.trim_start_matches("a ").trim_start_matches("an ").to_owned(),
        refused: imported.as_ref().err().map(ToString::to_string),
        summary: imported.as_ref().ok().map(serve_formats::ImportedModel::summary),
    };
    let text = if json {
        serde_json::to_string_pretty(&inspection)
            .map_err(|error| Exit::because(ExitReason::Software, error))?
    } else {
        inspection.for_people()
    };
    print(&text)?;
    imported.map(drop)
}

impl Inspection {
    fn for_people(&self) -> String {
        let mut lines = vec![
            ["file".to_owned(), format!("{} ({} bytes)", self.file, self.bytes)],
            ["kind".to_owned(), self.kind.clone()],
        ];
        let Some(summary) = &self.summary else {
            lines.push(["import".to_owned(), "refused".to_owned()]);
            return facts(&lines);
        };
        let mut line = |name: &str, value: String| lines.push([name.to_owned(), value]);
        let (version, file_version) = (summary.version.as_deref(), summary.file_version.as_deref());
        line("trainer", trainer(&summary.library, version, file_version));
        line("task", task(summary));
        line("objective", summary.objective.clone());
        line("model", counted(summary.models.iter().map(|(name, count)| (*name, *count))));
        if summary.trees > 0 {
            let Summary { trees, nodes, leaves, depth, mean_depth, .. } = summary;
            line("trees", format!("{trees}, with {nodes} nodes, of which {leaves} leaves"));
            line("depth", format!("{depth} at most, {mean_depth:.1} in the mean"));
        }
        if !summary.operators.is_empty() {
            let operators = summary.operators.iter().map(|(name, count)| (name.as_str(), *count));
            line("operators", counted(operators));
        }
        line(
            "features",
            format!("{}, of which the model asks for {}", summary.features, summary.features_used),
        );
        summary.notes.iter().for_each(|note| line("note", note.clone()));
        format!("{}\n\n{}", facts(&lines), features(summary))
    }
}

/// A library with its version, or else with that of its file's format.
pub(crate) fn trainer(library: &str, version: Option<&str>, file_version: Option<&str>) -> String {
    match (version, file_version) {
        (Some(version), _) => format!("{library} {version}"),
        (None, Some(file_version)) => format!("{library} (file version {file_version})"),
        (None, None) => library.to_owned(),
    }
}

/// Names and values, two spaces apart.
fn facts(lines: &[[String; 2]]) -> String {
    let width = lines.iter().map(|[name, _]| name.len()).max().unwrap_or_default();
    let lines = lines.iter().map(|[name, value]| format!("{name:<width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn task(summary: &Summary) -> String {
    match (summary.classes.as_slice(), summary.outputs.as_slice()) {
        ([], []) => summary.task.to_owned(),
        ([], outputs) => format!("{} of {} numbers: {}", summary.task, outputs.len(), outputs.join(", ")),
        (classes, _) => format!("{}, {} classes: {}", summary.task, classes.len(), classes.join(", ")),
    }
}

fn counted<'a>(parts: impl Iterator<Item = (&'a str, usize)>) -> String {
    let part = |(name, count)| if count == 1 { String::from(name) } else { format!("{count} x {name}") };
    parts.map(part).collect::<Vec<_>>().join(", ")
}

fn features(summary: &Summary) -> String {
    let row = |feature: &serve_formats::FeatureSummary| {
        let kind = match feature.categories {
            Some(count) => format!("{}, {count} categories", feature.kind),
            None => feature.kind.to_owned(),
        };
        let missing = if feature.missing == "model" { "the model's own rule" } else { feature.missing };
        let used = if feature.used { "yes" } else { "no" };
        [feature.name.clone(), kind, missing.to_owned(), used.to_owned()]
    };
    let rows: Vec<[String; 4]> = summary.feature_list.iter().take(LISTED).map(row).collect();
    let mut text = aligned(["feature", "given as", "missing", "used"], &rows);
    if let Some(more) = summary.feature_list.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let _ = write!(text, "\nand {more} more; --json lists all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_told_in_plain_words() {
        let file = b"tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nobjective=binary sigmoid:1\n\
            feature_names=size colour\nfeature_infos=[0:1] 0:1\n\nTree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 1\n\
            threshold=0.5 0\ndecision_type=10 9\nleft_child=1 -1\nright_child=-2 -3\nleaf_value=-1 0 2\n\
            cat_boundaries=0 1\ncat_threshold=1\n\nend of trees\n\npandas_categorical:[[\"red\",\"7\"]]\n";
        let model = serve_formats::import(file, Format::Auto).expect("reads");
        let inspection = Inspection {
            file: "m.txt".to_owned(),
            bytes: 9,
            kind: "LightGBM text model".to_owned(),
            refused: None,
            summary: Some(model.summary()),
        };
        assert_eq!(
            inspection.for_people(),
            "file       m.txt (9 bytes)\n\
             kind       LightGBM text model\n\
             trainer    lightgbm (file version v4)\n\
             task       classification, 2 classes: 0, 1\n\
             objective  binary sigmoid:1\n\
             model      tree ensemble\n\
             trees      1, with 5 nodes, of which 3 leaves\n\
             depth      2 at most, 2.0 in the mean\n\
             features   2, of which the model asks for 2\n\n\
             feature  given as            missing               used\n\
             size     number              the model's own rule  yes\n\
             colour   text, 2 categories  the model's own rule  yes"
        );
    }
}
