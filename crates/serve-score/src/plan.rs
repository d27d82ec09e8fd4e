//! What a job will do, before its first row: which columns of the input are the model's inputs, what is kept, and what the output's
//! columns are. Whatever is wrong with these is told here, all of it at once.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use serve_core::{Signature, Task};

use crate::convert::{self, Texts};
use crate::error::ScoreError;
use crate::format::Format;
use crate::location::InputFile;
use crate::model::PinnedModel;
use crate::source::{Binding, Header, Source, Unbound, all_columns};
use crate::tally::Gauge;

/// Names that a message lists.
const LISTED: usize = 20;

/// Which of the input's columns the output has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Keep {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// These, in this order.
    Columns(Vec<String>),
}

impl std::str::FromStr for Keep {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = || text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        Ok(if text == "all" { Self::All } else { Self::Columns(names().collect()) })
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// Features whose columns have other names: feature, column.
    pub map: Vec<(String, String)>,
    /// What is kept.
    pub keep: Keep,
    /// Whether the contributions of the features are written.
    pub explain: bool,
    /// Whether rows are counted for a report, against the model's [reference](PinnedModel::with_reference) where it was read.
    pub tally: bool,
}

/// How a job's rows become answers.
#[derive(Debug, Clone)]
pub struct Plan {
    model: PinnedModel,
    /// The columns that are read, by name.
    pub(crate) columns: Vec<String>,
    /// For each input of the signature, in order, which of them it is.
    pub(crate) inputs: Vec<usize>,
    /// Which of them are kept, in order.
    pub(crate) kept: Vec<usize>,
    pub(crate) texts: Texts,
    pub(crate) explain: bool,
    gauge: Option<Arc<Gauge>>,
    schema: SchemaRef,
}

impl Plan {
    /// Matches a model's inputs to the columns of the source, and says for every file where they stand.
    ///
    /// # Errors
    /// [`ScoreError::Plan`] when columns are missing, stand twice, or have types that are no input's; when files differ in
    /// what is kept; when an output column would stand twice.
    pub(crate) fn new(
        model: PinnedModel,
        source: &Source,
        options: &PlanOptions,
    ) -> Result<(Self, Vec<Binding>), ScoreError> {
        let signature = model.pipeline().signature();
        let inputs = mapped(signature, &options.map)?;
        let first = source.files().first().zip(source.headers().first());
        let Some((file, header)) = first else { return Err(ScoreError::plan("there is no input")) };
        let kept = match &options.keep {
            Keep::None => Vec::new(),
            Keep::Columns(names) => {
                kept_once(names)?;
                names.clone()
            }
            Keep::All => all_columns(&header.schema, file.partition())
                .iter()
                .map(|field| field.name().clone())
                .collect(),
        };
        let mut columns = inputs.clone();
        let mut seen: HashSet<String> = columns.iter().cloned().collect();
        columns.extend(kept.iter().filter(|name| seen.insert((*name).clone())).cloned());
        let at = |name: &String| columns.iter().position(|column| column == name).unwrap_or_default();
        let (inputs, kept): (Vec<_>, Vec<_>) =
            (inputs.iter().map(at).collect(), kept.iter().map(at).collect());
        let bindings = bind(source, &columns, (&inputs, &kept), signature)?;
        let fields = &bindings[0].fields;
        let kept_fields: Vec<FieldRef> = kept.iter().map(|&at| Arc::clone(&fields[at])).collect();
        same_types(source, &bindings, &kept, &kept_fields)?;
        let schema = output_schema(&model, kept_fields, options.explain)?;
        let texts = if source.format() == Format::Csv { Texts::Cells } else { Texts::Values };
        let gauge = options.tally.then(|| Arc::new(Gauge::new(&model, model.reference())));
        let explain = options.explain;
        Ok((Self { model, columns, inputs, kept, texts, explain, gauge, schema }, bindings))
    }

    /// For columns that are the inputs of the signature already, in order; rejects are counted.
    pub(crate) fn of_inputs(model: PinnedModel) -> Result<Self, ScoreError> {
        let columns: Vec<String> = model.pipeline().signature().names().map(str::to_owned).collect();
        let inputs = (0..columns.len()).collect();
        let gauge = Some(Arc::new(Gauge::new(&model, None)));
        let schema = output_schema(&model, Vec::new(), false)?;
        Ok(Self {
            model,
            columns,
            inputs,
            kept: Vec::new(),
            texts: Texts::Values,
            explain: false,
            gauge,
            schema,
        })
    }

    /// With the output's columns as another process planned them, of which this one sees other files.
    pub(crate) fn with_schema(self, schema: &SchemaRef) -> Result<Self, ScoreError> {
        let fits = |own: &FieldRef, other: &FieldRef| {
            let (from, to) = (own.data_type(), other.data_type());
            own.name() == other.name() && (from == to || widens(from, to))
        };
        let (own, other) = (self.schema.fields(), schema.fields());
        if own.len() != other.len() || !own.iter().zip(other).all(|(own, other)| fits(own, other)) {
            return Err(ScoreError::plan("the columns are not those that the job was planned with"));
        }
        Ok(Self { schema: Arc::clone(schema), ..self })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &PinnedModel {
        &self.model
    }

    /// The inputs of the signature with the columns that they are read from, in order.
    pub fn matched(&self) -> impl Iterator<Item = (&str, &str)> {
        let columns = self.inputs.iter().map(|&at| self.columns[at].as_str());
        self.model.pipeline().signature().names().zip(columns)
    }

    /// By what rows are counted, where they are.
    #[must_use]
    pub fn gauge(&self) -> Option<&Arc<Gauge>> {
        self.gauge.as_ref()
    }

    /// The output's columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

/// The column of each input.
fn mapped(signature: &Signature, map: &[(String, String)]) -> Result<Vec<String>, ScoreError> {
    let mut columns: Vec<String> = signature.names().map(str::to_owned).collect();
    let (mut seen, mut unknown, mut twice) = (HashSet::new(), Vec::new(), Vec::new());
    for (feature, column) in map {
        match signature.position(feature) {
            None => unknown.push(feature.as_str()),
            Some(position) if !seen.insert(position) => twice.push(feature.as_str()),
            Some(position) => columns[position].clone_from(column),
        }
    }
    let mut problems = Vec::new();
    if !unknown.is_empty() {
        let (unknown, inputs) = (listed(unknown.into_iter()), listed(signature.names()));
        problems.push(format!("--map: the model has no inputs {unknown}; it has {inputs}"));
    }
    if !twice.is_empty() {
        problems.push(format!("--map says twice what is read for {}", listed(twice.into_iter())));
    }
    if problems.is_empty() { Ok(columns) } else { Err(ScoreError::usage(problems.join("; "))) }
}

/// Refuses a kept column that stands twice.
fn kept_once(names: &[String]) -> Result<(), ScoreError> {
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(ScoreError::usage(format!("--keep names {name:?} twice"))),
        None => Ok(()),
    }
}

fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let shown = names.take(LISTED).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Where the columns stand in each file, whose types have to fit the inputs.
fn bind(
    source: &Source,
    columns: &[String],
    (inputs, kept): (&[usize], &[usize]),
    signature: &Signature,
) -> Result<Vec<Binding>, ScoreError> {
    let mut bindings = Vec::with_capacity(source.files().len());
    for (file, header) in source.files().iter().zip(source.headers()) {
        let found = Binding::new(columns, &header.schema, file.partition());
        let mut binding = found.map_err(|wrong| {
            let taken: Vec<&str> = inputs.iter().map(|&at| columns[at].as_str()).collect();
            unbound(&taken, file, header, &wrong)
        })?;
        if source.format() == Format::Json {
            binding.loosen(signature, inputs, kept);
        }
        check_types(file, columns, inputs, &binding, signature)?;
        bindings.push(binding);
    }
    Ok(bindings)
}

/// What is missing or stands twice, and what is there beside it.
fn unbound(taken: &[&str], file: &InputFile, header: &Header, wrong: &[(String, Unbound)]) -> ScoreError {
    let of = |kind| {
        let names = wrong.iter().filter(|(_, why)| *why == kind).map(|(name, _)| name.as_str());
        names.collect::<Vec<&str>>()
    };
    let (missing, twice) = (of(Unbound::Missing), of(Unbound::Twice));
    let mut problem = file.name();
    if !twice.is_empty() {
        let _ = write!(problem, ": columns that stand twice: {}", listed(twice.into_iter()));
    }
    if !missing.is_empty() {
        let all = all_columns(&header.schema, file.partition());
        let names: Vec<&str> = all.iter().map(|field| field.name().as_str()).collect();
        let inputs = missing.iter().any(|name| taken.contains(name));
        let other: Vec<&str> = names.iter().copied().filter(|name| !taken.contains(name)).collect();
        let _ = write!(problem, ": missing columns {}", listed(missing.into_iter()));
        if !inputs {
            let _ = write!(problem, "; it has {}", listed(names.into_iter()));
        } else if !other.is_empty() {
            let other = listed(other.into_iter());
            let _ = write!(problem, "; it has {other} (--map FEATURE=COLUMN renames)");
        }
    }
    ScoreError::plan(problem)
}

/// The columns of inputs have to have types that can be theirs.
fn check_types(
    file: &InputFile,
    columns: &[String],
    inputs: &[usize],
    binding: &Binding,
    signature: &Signature,
) -> Result<(), ScoreError> {
    let pairs = signature.inputs().iter().zip(inputs);
    let misfits = pairs.filter_map(|(input, &at)| {
        let (name, datatype) = (&columns[at], binding.fields[at].data_type());
        let expected = convert::check(datatype, input).err()?;
        Some(format!("column {name:?} is {datatype}, the input {:?} expects {expected}", input.name))
    });
    let misfits: Vec<String> = misfits.collect();
    if misfits.is_empty() {
        return Ok(());
    }
    let more = match misfits.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let shown = misfits.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join("; ");
    Err(ScoreError::plan(format!("{}: {shown}{more}", file.name())))
}

/// What is kept has to have the same type in every file, or one that Arrow casts without loss.
fn same_types(
    source: &Source,
    bindings: &[Binding],
    kept: &[usize],
    fields: &[FieldRef],
) -> Result<(), ScoreError> {
    for (file, binding) in source.files().iter().zip(bindings) {
        for (&at, field) in kept.iter().zip(fields) {
            let (got, expected) = (binding.fields[at].data_type(), field.data_type());
            if got != expected && !widens(got, expected) {
                let (file, name) = (file.name(), field.name());
                let problem =
                    format!("{file}: the kept column {name:?} is {got}, in the first file {expected}");
                return Err(ScoreError::plan(problem));
            }
        }
    }
    Ok(())
}

/// Whether every value of one type is one of the other.
pub(crate) fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Float32, Float64, Int8, Int16, Int32, Int64, LargeUtf8, Null, UInt8, UInt16, UInt32, Utf8, Utf8View,
    };
    match (from, to) {
        (Null, _) => true,
        (DataType::Dictionary(_, values), to) => **values == *to || widens(values, to),
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => true,
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
        (UInt8, UInt16 | UInt32 | Int16 | Int32 | Int64)
        | (UInt16, UInt32 | Int32 | Int64)
        | (UInt32, Int64) => true,
        (Float32 | Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32, Float64) => true,
        _ => false,
    }
}

fn output_schema(model: &PinnedModel, kept: Vec<FieldRef>, explain: bool) -> Result<SchemaRef, ScoreError> {
    let mut fields = kept;
    let number = |name: String| Arc::new(Field::new(name, DataType::Float64, false));
    let text = |name: String| Arc::new(Field::new(name, DataType::Utf8, false));
    let target = model.pipeline().target();
    if !model.manifest().decision.labels(target).is_empty() {
        fields.push(text(target.name.clone()));
    }
    match &target.task {
        Task::Classification { classes } => {
            fields.extend(classes.iter().map(|class| number(format!("probability_{class}"))));
        }
        Task::MultiRegression { outputs } => {
            fields.extend(outputs.iter().map(|output| number(format!("{}_{output}", target.name))));
        }
        // Where bands are what is predicted, the value stands beside them.
        _ if !model.manifest().decision.labels(target).is_empty() => {
            fields.push(number(format!("{}_value", target.name)));
        }
        _ => fields.push(number(target.name.clone())),
    }
    fields.push(text("model_version".to_owned()));
    if explain {
        let explainer = model
            .explainer()
            .ok_or_else(|| ScoreError::software("the model was not resolved to be explained"))?;
        fields
            .extend(contributions(explainer).into_iter().map(|name| number(format!("contribution_{name}"))));
    }
    let mut seen = HashSet::new();
    if let Some(field) = fields.iter().find(|field| !seen.insert(field.name())) {
        let problem = format!(
            "the output would have two columns {:?}, one kept and one of the model's answer: name the columns to keep without it, as \
             in --keep id,day",
            field.name()
        );
        return Err(ScoreError::plan(problem));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The names of contributions: per feature, where there are several outputs per output and feature.
pub(crate) fn contributions(explainer: &serve_core::Explainer) -> Vec<String> {
    let names = explainer.names();
    match explainer.output_names() {
        outputs if outputs.len() > 1 => outputs
            .iter()
            .flat_map(|output| names.iter().map(move |name| format!("{output}_{name}")))
            .collect(),
        _ => names.to_vec(),
    }
}
