//! The functions. By the time that they run, their arguments are the pinned model and its inputs in the signature's order.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Float64Array, StructArray};
use arrow_schema::{DataType, Field, FieldRef, Fields};
use arrow_select::nullif::nullif;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use serve_core::{Answer, BatchPrediction, CheckedRow, Task};

use super::{Models, external};
use crate::convert::{self, Matrix, Texts, Wrong};
use crate::error::ScoreError;
use crate::model::PinnedModel;

/// What a function answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The label or the value.
    Predict,
    /// The probability of each class.
    Probabilities,
    /// What each feature contributed.
    Explain,
}

/// A function of a session's models.
#[derive(Debug)]
pub(super) struct ModelFunction {
    kind: Kind,
    models: Arc<Models>,
    signature: Signature,
}

impl ModelFunction {
    pub(super) fn new(kind: Kind, models: Arc<Models>) -> Self {
        // What it answers depends on its first argument and nothing else that changes.
        Self { kind, models, signature: Signature::variadic_any(Volatility::Immutable) }
    }

    pub(super) fn model(&self, text: &ScalarValue) -> Result<PinnedModel> {
        match text.try_as_str() {
            Some(Some(text)) => self.models.get(text, self.kind == Kind::Explain),
            _ => {
                plan_err!("{}: expected the model as a text such as 'name@champion', got {text}", self.name())
            }
        }
    }
}

/// Two functions are the same where they answer the same of the same session's models.
impl PartialEq for ModelFunction {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && Arc::ptr_eq(&self.models, &other.models)
    }
}

impl Eq for ModelFunction {}

impl Hash for ModelFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
        Arc::as_ptr(&self.models).hash(state);
    }
}

impl ScalarUDFImpl for ModelFunction {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Predict => "predict",
            Kind::Probabilities => "predict_proba",
            Kind::Explain => "explain",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        exec_err!("what {} answers depends on the model", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let Some(Some(text)) = args.scalar_arguments.first() else {
            return plan_err!(
                "{}: the first argument is the model, a text that is not computed",
                self.name()
            );
        };
        let model = self.model(text)?;
        Ok(Arc::new(Field::new(self.name(), answer_type(self.kind, &model)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(ColumnarValue::Scalar(text)) = args.args.first() else {
            return exec_err!(
                "{}: the first argument is the model, a text that is not computed",
                self.name()
            );
        };
        let model = self.model(text)?;
        let inputs = model.pipeline().signature().inputs();
        if args.args.len() != inputs.len() + 1 {
            return exec_err!("{} takes {} inputs, got {}", model, inputs.len(), args.args.len() - 1);
        }
        let columns = args.args[1..].iter().map(|column| column.to_array(args.number_rows));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        for (column, input) in columns.iter().zip(inputs) {
            if let Err(expected) = convert::check(column.data_type(), input) {
                let (name, got) = (&input.name, column.data_type());
                return exec_err!("{model}: the input {name:?} expects {expected}, got {got}");
            }
        }
        let mut answering =
            Answering { kind: self.kind, model, matrix: Matrix::default(), failed: Vec::new() };
        let (answers, reasons) = answering.answer(&columns).map_err(external)?;
        self.models.note(reasons);
        Ok(ColumnarValue::Array(answers))
    }
}

/// The type of a function's answers.
fn answer_type(kind: Kind, model: &PinnedModel) -> Result<DataType> {
    let target = model.pipeline().target();
    Ok(match (kind, &target.task) {
        (Kind::Predict, _) if !model.manifest().decision.labels(target).is_empty() => DataType::Utf8,
        (Kind::Predict, Task::MultiRegression { outputs }) => {
            DataType::Struct(numbers(outputs.iter().cloned()))
        }
        (Kind::Predict, _) => DataType::Float64,
        (Kind::Probabilities, Task::Classification { classes }) => {
            DataType::Struct(numbers(classes.iter().cloned()))
        }
        (Kind::Probabilities, _) => return plan_err!("{model} is a regression and has no probabilities"),
        (Kind::Explain, _) => DataType::Struct(numbers(contributions(model))),
    })
}

fn numbers(names: impl IntoIterator<Item = String>) -> Fields {
    names.into_iter().map(|name| Field::new(name, DataType::Float64, true)).collect()
}

fn contributions(model: &PinnedModel) -> Vec<String> {
    model.explainer().map(crate::plan::contributions).unwrap_or_default()
}

/// The answers to one batch.
struct Answering {
    kind: Kind,
    model: PinnedModel,
    matrix: Matrix,
    /// Per row, whether it has no answer.
    failed: Vec<bool>,
}

impl Answering {
    /// The answers, and why the rows that have none have none.
    fn answer(&mut self, columns: &[ArrayRef]) -> Result<(ArrayRef, Vec<String>), ScoreError> {
        let pipeline = self.model.pipeline();
        let mut wrong: Vec<Wrong> = Vec::new();
        self.matrix.read(pipeline.signature(), columns, Texts::Values, &mut wrong);
        let mut predictions = BatchPrediction::new();
        let predicted = pipeline.predict_batch(self.matrix.rows(), &mut predictions);
        predicted.map_err(ScoreError::software)?;
        let mut reasons: Vec<Option<String>> = (0..self.matrix.len())
            .map(|row| predictions.answer(row).err().map(ToString::to_string))
            .collect();
        for Wrong { row, input, problem } in wrong {
            let feature = pipeline.signature().inputs()[input].name.clone();
            reasons[row] = Some(serve_core::Violation { feature, problem }.to_string());
        }
        self.failed = reasons.iter().map(Option::is_some).collect();
        let target = pipeline.target();
        let labelled = !self.model.manifest().decision.labels(target).is_empty();
        let answers = match self.kind {
            Kind::Predict if labelled => self.labels(&predictions),
            Kind::Explain => self.contributions(&mut reasons)?,
            Kind::Predict | Kind::Probabilities => self.scores(&predictions)?,
        };
        Ok((answers, reasons.into_iter().flatten().collect()))
    }

    fn labels(&self, predictions: &BatchPrediction) -> ArrayRef {
        let target = self.model.pipeline().target();
        let labels = self.model.manifest().decision.labels(target);
        let mut column = StringBuilder::new();
        for (row, failed) in self.failed.iter().enumerate() {
            let label = match predictions.answer(row) {
                Ok(Answer::Class(label) | Answer::Band { band: label, .. }) if !failed => labels.get(label),
                _ => None,
            };
            column.append_option(label);
        }
        Arc::new(column.finish())
    }

    fn scores(&self, predictions: &BatchPrediction) -> Result<ArrayRef, ScoreError> {
        let datatype = answer_type(self.kind, &self.model).map_err(ScoreError::software)?;
        let width = self.model.pipeline().target().task.scores();
        let column = |score: usize| -> ArrayRef {
            let scores = predictions.scores().iter().skip(score).step_by(width);
            let scores = scores.zip(&self.failed).map(|(score, failed)| (!failed).then_some(*score));
            Arc::new(scores.collect::<Float64Array>())
        };
        match datatype {
            DataType::Struct(fields) => self.nested(fields, (0..width).map(column).collect()),
            _ => Ok(column(0)),
        }
    }

    fn nested(&self, fields: Fields, columns: Vec<ArrayRef>) -> Result<ArrayRef, ScoreError> {
        let nested = StructArray::try_new(fields, columns, None).map_err(ScoreError::software)?;
        nullif(&nested, &self.failed.clone().into()).map_err(ScoreError::software)
    }

    fn contributions(&mut self, reasons: &mut [Option<String>]) -> Result<ArrayRef, ScoreError> {
        let unresolved = || ScoreError::software("the model was not resolved to be explained");
        let explainer = self.model.explainer().ok_or_else(unresolved)?;
        let signature = self.model.pipeline().signature();
        let mut columns: Vec<Vec<Option<f64>>> =
            vec![Vec::new(); explainer.width() - explainer.output_count()];
        let mut checked = CheckedRow::new();
        for (row, failed) in self.failed.iter_mut().enumerate() {
            let values: Vec<f64> = (0..signature.len()).map(|input| self.matrix.at(row, input)).collect();
            let explained = if *failed {
                None
            } else {
                let read = signature.read_numbers(&values, &mut checked).map_err(Into::into);
                match read.and_then(|()| explainer.explain_checked(&checked)) {
                    Ok(explanation) => Some(explanation),
                    Err(error) => {
                        (*failed, reasons[row]) = (true, Some(error.to_string()));
                        None
                    }
                }
            };
            let Some(explanation) = explained else {
                columns.iter_mut().for_each(|column| column.push(None));
                continue;
            };
            let contributions = explanation.outputs().flat_map(|output| output.contributions);
            columns.iter_mut().zip(contributions).for_each(|(column, x)| column.push(Some(*x)));
        }
        let fields = numbers(contributions(&self.model));
        let columns =
            columns.into_iter().map(|column| Arc::new(Float64Array::from(column)) as ArrayRef).collect();
        self.nested(fields, columns)
    }
}
