//! `features join`: training data. Each label of a file with the features that were known at its moment.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serve_app::{Exit, ExitReason};
use serve_core::Value;
use serve_features::{
    Declarations, FeatureRow, FeatureSetName, Label, LabelRows, MaxAge, RetrieveError, RowReader,
    TableColumn, check_declaration, known_rows,
};

use crate::args::Join;
use crate::config::CtlConfig;
use crate::features::{create, declared, unwritable};
use crate::{ingest, print};

pub(crate) fn run(config: &CtlConfig, args: &Join) -> Result<(), Exit> {
    let unread = |error| ingest::told(&args.labels, error);
    let mut reader = RowReader::open(LabelRows, &args.labels).map_err(unread)?;
    let labels = reader.next_batch(usize::MAX).map_err(unread)?;
    let own: Vec<_> = reader.columns().map(|name| own(&reader, &labels, name)).collect();
    let declarations = match (&args.declarations, &config.features.declarations) {
        (None, None) => Declarations::default(),
        (path, _) => declared(config, path.as_deref())?,
    };
    let sets = sets(args, &declarations)?;
    let store = config.store()?;
    let of = |row: &FeatureRow| Label { entity: row.entity().clone(), timestamp: row.timestamp() };
    let asked: Vec<Label> = labels.iter().map(of).collect();
    let known = crate::runtime()?.block_on(known_rows(&*store, &sets, &asked));
    let known = known.map_err(|error| {
        // Somebody has to mend the row; a label without it would be wrong and look right.
        let unreadable = matches!(error, RetrieveError::Unreadable(_));
        Exit::because(if unreadable { ExitReason::Data } else { ExitReason::Unavailable }, error)
    })?;
    let columns = Columns::new(&sets, &declarations, own, &known);
    columns.check(&args.labels)?;
    let mut table = create(&args.output, &columns.kinds)?;
    let (mut written, mut without) = (Vec::with_capacity(labels.len()), 0);
    for (label, known) in labels.iter().zip(&known) {
        if known.iter().any(Option::is_none) {
            without += 1;
            continue;
        }
        written.push(columns.joined(label, known));
    }
    table.write(&written).and_then(|()| table.finish()).map_err(|error| unwritable(&args.output, &error))?;
    print(&format!("{} of {} labels written to {}", written.len(), labels.len(), args.output.display()))?;
    if without > 0 {
        eprintln!("{without} labels were left out: nothing fresh enough was known at their moment");
    }
    for (i, (set, _)) in sets.iter().enumerate() {
        let computed_by = declarations.get(set.as_str()).and_then(serve_features::FeatureSet::digest);
        let rows = known.iter().filter_map(|known| known[i].as_ref());
        let outdated = rows.filter(|row| check_declaration(set, row, computed_by).is_err()).count();
        if outdated > 0 {
            eprintln!(
                "{outdated} labels have features that an older declaration of {set} computed: build it anew"
            );
        }
    }
    Ok(())
}

/// The sets, each with the strictest of what is asked and declared.
fn sets(args: &Join, declarations: &Declarations) -> Result<Vec<(FeatureSetName, Option<MaxAge>)>, Exit> {
    let mut sets = Vec::with_capacity(args.set.len());
    for name in &args.set {
        let name: FeatureSetName = name
            .parse()
            .map_err(|error: serve_features::NameError| Exit::because(ExitReason::Data, error))?;
        let declared = declarations.get(name.as_str()).and_then(serve_features::FeatureSet::max_age);
        let limit = match args.max_age {
            Some(asked) => Some(asked.strictest(declared)),
            None => declared,
        };
        sets.push((name, limit));
    }
    Ok(sets)
}

/// The columns of the output: the labels' own, then each set's features; `set:feature` where there are several sets.
struct Columns {
    kinds: Vec<(String, TableColumn)>,
    /// For each set, its features' names and those of their columns.
    features: Vec<Vec<(Arc<str>, Arc<str>)>>,
}

impl Columns {
    fn new(
        sets: &[(FeatureSetName, Option<MaxAge>)],
        declarations: &Declarations,
        mut kinds: Vec<(String, TableColumn)>,
        known: &[Vec<Option<FeatureRow>>],
    ) -> Self {
        let mut features = Vec::with_capacity(sets.len());
        for (i, (set, _)) in sets.iter().enumerate() {
            let rows = || known.iter().filter_map(|known| known[i].as_ref());
            let mut names: Vec<Arc<str>> = match declarations.get(set.as_str()) {
                Some(declared) => declared.feature_names().map(Arc::from).collect(),
                None => Vec::new(),
            };
            if names.is_empty() {
                names = rows().next().map_or_else(Vec::new, |row| row.names().to_vec());
            }
            let column = |name: Arc<str>| {
                let column = if sets.len() > 1 { format!("{set}:{name}").into() } else { Arc::clone(&name) };
                (name, column)
            };
            let columns: Vec<(Arc<str>, Arc<str>)> = names.into_iter().map(column).collect();
            for (name, column) in &columns {
                kinds.push((column.to_string(), feature(rows().filter_map(|row| row.get(name)))));
            }
            features.push(columns);
        }
        Self { kinds, features }
    }

    /// Refuses a name that two columns would have.
    fn check(&self, labels: &Path) -> Result<(), Exit> {
        let mut seen = HashSet::new();
        let Some((twice, _)) = self.kinds.iter().find(|(name, _)| !seen.insert(name)) else { return Ok(()) };
        let message = format!(
            "{}: column `{twice}`: expected another name than a feature of the sets has",
            labels.display()
        );
        Err(Exit::told(ExitReason::Data, message))
    }

    fn joined(&self, label: &FeatureRow, known: &[Option<FeatureRow>]) -> FeatureRow {
        let own = label.features().map(|(name, value)| (Arc::clone(name), value.clone()));
        let mut values: Vec<(Arc<str>, Value<'static>)> = own.collect();
        for (row, columns) in known.iter().zip(&self.features) {
            for (name, column) in columns {
                let value = row.as_ref().and_then(|row| row.get(name)).cloned().unwrap_or(Value::Missing);
                values.push((Arc::clone(column), value));
            }
        }
        FeatureRow::new(label.entity().clone(), label.timestamp(), values)
    }
}

/// A column of the labels' own: whole numbers stay what they are, unless the file's type is another.
fn own(reader: &RowReader<'_, LabelRows>, labels: &[FeatureRow], name: &str) -> (String, TableColumn) {
    let column = match TableColumn::of(labels.iter().filter_map(|row| row.get(name))) {
        TableColumn::Whole if reader.is_whole(name) == Some(false) => TableColumn::Number,
        column => column,
    };
    (name.to_owned(), column)
}

/// A column of a feature: numbers, unless a value is something else.
fn feature<'v>(values: impl Iterator<Item = &'v Value<'static>>) -> TableColumn {
    match TableColumn::of(values) {
        TableColumn::Whole => TableColumn::Number,
        column => column,
    }
}
