//! The functions. By the time that they run, their arguments are the pinned model and its inputs in the signature's order.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::answering::{Answering, Answers};
use super::unanswered::Unanswered;
use super::{Models, external};
use crate::convert;
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

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Predict, Self::Probabilities, Self::Explain];

    /// The function's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Probabilities => "predict_proba",
            Self::Explain => "explain",
        }
    }
}

/// A function of a session's models.
#[derive(Debug)]
pub(super) struct ModelFunction {
    kind: Kind,
    models: Arc<Models>,
    /// What it answers, once it is planned and its first argument is a pinned model.
    answers: Option<Answers>,
    signature: Signature,
    /// Where rows without an answer are counted.
    unanswered: Arc<Unanswered>,
}

impl ModelFunction {
    pub(super) fn new(kind: Kind, models: Arc<Models>) -> Self {
        // What it answers depends on its first argument and nothing else that changes.
        let signature = Signature::variadic_any(Volatility::Immutable);
        let unanswered = Arc::clone(&models.unanswered);
        Self { kind, models, answers: None, signature, unanswered }
    }

    /// A function that was planned, with what it answers.
    pub(super) fn planned(&self, answers: Answers) -> Self {
        let (kind, models, signature) = (self.kind, Arc::clone(&self.models), self.signature.clone());
        Self { kind, models, answers: Some(answers), signature, unanswered: Arc::clone(&self.unanswered) }
    }

    /// The same for a part of a query, which counts for itself.
    pub(super) fn counting_alone(self) -> Self {
        Self { unanswered: Arc::default(), ..self }
    }

    pub(super) fn unanswered(&self) -> &Unanswered {
        &self.unanswered
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn answers(&self) -> Option<&Answers> {
        self.answers.as_ref()
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
        (self.kind, &self.answers) == (other.kind, &other.answers) && Arc::ptr_eq(&self.models, &other.models)
    }
}

impl Eq for ModelFunction {}

impl Hash for ModelFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.kind, &self.answers).hash(state);
        Arc::as_ptr(&self.models).hash(state);
    }
}

impl ScalarUDFImpl for ModelFunction {
    fn name(&self) -> &str {
        self.kind.name()
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
        let datatype = match &self.answers {
            Some(answers) => answers.datatype(),
            None => Answers::of(self.kind, &self.model(text)?)?.datatype(),
        };
        Ok(Arc::new(Field::new(self.name(), datatype, true)))
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
        let types = columns.iter().map(|column| Some(column.data_type().clone()));
        check_types(&model, types)?;
        let (answers, reasons) = Answering::new(self.kind, model).answer(&columns).map_err(external)?;
        self.unanswered.note(reasons);
        Ok(ColumnarValue::Array(answers))
    }
}

/// Refuses columns that cannot be their inputs; a type that is not known yet is looked at later.
pub(super) fn check_types(
    model: &PinnedModel,
    types: impl IntoIterator<Item = Option<DataType>>,
) -> Result<()> {
    for (got, input) in types.into_iter().zip(model.pipeline().signature().inputs()) {
        let Some(got) = got else { continue };
        if let Err(expected) = convert::check(&got, input) {
            return plan_err!("{model}: the input {:?} expects {expected}, got {got}", input.name);
        }
    }
    Ok(())
}
