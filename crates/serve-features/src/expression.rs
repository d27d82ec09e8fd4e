//! The language of `features.yaml`: `close / rolling_mean(close, 7) - 1`. Text becomes tokens ([`token`]), tokens a tree
//! ([`parse`]), and the tree an [`Expr`] whose columns belong to declared sources and whose functions have checked
//! arguments ([`bind`]). Nothing is looked up by name after that.
//!
//! A text from a stranger cannot exhaust the stack: nesting and the tree's depth are bounded before anything recurses.

use std::sync::Arc;
use std::time::Duration;

use function::Function;

pub(crate) use bind::Scope;

pub(crate) mod bind;
pub(crate) mod catalog;
pub(crate) mod function;
pub(crate) mod parse;
pub(crate) mod reference;
pub(crate) mod token;

/// The longest expression, in bytes.
const LONGEST: usize = 4096;

/// Why a text is not an expression. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// Longer than any feature needs.
    #[error("the expression has {got} bytes, expected {LONGEST} at most")]
    TooLong {
        /// Its length.
        got: usize,
    },
    /// Too many parentheses, calls or operators within each other.
    #[error("at character {at}: nested more than {limit} deep")]
    TooDeep {
        /// Where.
        at: usize,
        /// The limit.
        limit: usize,
    },
    /// A character or word that cannot stand there.
    #[error("at character {at}: expected {expected}, got {got}")]
    Unexpected {
        /// Where.
        at: usize,
        /// What could have stood there.
        expected: &'static str,
        /// What stands there.
        got: String,
    },
    /// Not a number or duration.
    #[error("at character {at}: {problem}")]
    Literal {
        /// Where.
        at: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// No such column or source.
    #[error("at character {at}: no column `{name}`: {hint}")]
    UnknownName {
        /// Where.
        at: usize,
        /// The name.
        name: String,
        /// What there is.
        hint: String,
    },
    /// No such function.
    #[error("at character {at}: no function `{name}`: {hint}")]
    UnknownFunction {
        /// Where.
        at: usize,
        /// The name.
        name: String,
        /// What there is.
        hint: String,
    },
    /// A function called with what it does not take.
    #[error("at character {at}: `{function}` takes ({usage}), {problem}")]
    Arguments {
        /// Where.
        at: usize,
        /// The function.
        function: &'static str,
        /// Its arguments by name.
        usage: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// A bound expression: what to compute, with nothing left to look up but columns in a frame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    /// The same at every row.
    Constant(f64),
    /// A source's column; sources count as declared, 0 is the first.
    Column { source: usize, name: Arc<str> },
    /// A source's timestamps, which only calendar functions take.
    Timestamps { source: usize },
    /// VADER's compound scores of a source's texts.
    Vader { source: usize, name: Arc<str> },
    /// Another feature of the set, by its place in the declaration: its column on the rows of the first source, before its
    /// policy for missing values.
    Feature(usize),
    /// −x.
    Negate(Box<Expr>),
    /// Arithmetic, row by row.
    Binary { operator: Operator, left: Box<Expr>, right: Box<Expr> },
    /// A function of columns.
    Call { function: Function, inputs: Vec<Expr> },
}

/// An arithmetic operator, with IEEE 754's meaning: x/0 is infinite, 0/0 is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Operator {
    pub(crate) fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
        }
    }
}

/// An expression as written, before names have a meaning.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ast {
    pub(crate) kind: AstKind,
    /// The character it begins at, from 1.
    pub(crate) at: usize,
    /// 1 more than the deepest part.
    depth: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AstKind {
    Number(f64),
    Duration(Duration),
    /// `close` or `sentiment.score`.
    Name(String),
    Call {
        function: String,
        arguments: Vec<Ast>,
    },
    Negate(Box<Ast>),
    Binary {
        operator: Operator,
        left: Box<Ast>,
        right: Box<Ast>,
    },
}

/// Reads and binds an expression.
pub(crate) fn compile(text: &str, scope: &Scope<'_>) -> Result<Expr, ExpressionError> {
    if text.len() > LONGEST {
        return Err(ExpressionError::TooLong { got: text.len() });
    }
    bind::bind(&parse::parse(text)?, scope)
}
