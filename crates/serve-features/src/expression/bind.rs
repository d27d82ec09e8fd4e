//! Names get their meaning: columns their source, calls their function with checked arguments.
//!
//! `source.column` is a column of that source and `timestamp` the moment of a row. A plain name is a column of the first
//! source, if it is known to have it; else another feature of the set; else a column that the source may have.

use std::sync::Arc;

use super::catalog::{self, Entry, MOST_ROWS, Parameter, Settings};
use super::{Ast, AstKind, Expr, ExpressionError, Operator};
use crate::declaration::{Source, SourceColumn};
use crate::vocabulary::Window;

const TIMESTAMP: &str = "timestamp";
const VADER: &str = "vader";

/// What an expression can name.
pub(crate) struct Scope<'a> {
    /// In the declared order.
    pub(crate) sources: &'a [Source],
    /// The set's features, in the declared order.
    pub(crate) features: &'a [&'a str],
    /// The feature whose expression it is.
    pub(crate) this: &'a str,
}

/// Gives an expression its meaning. Recursion is bounded by the tree's depth, which the parser bounds.
pub(crate) fn bind(ast: &Ast, scope: &Scope<'_>) -> Result<Expr, ExpressionError> {
    match &ast.kind {
        AstKind::Number(x) => Ok(Expr::Constant(*x)),
        AstKind::Duration(duration) => Err(ExpressionError::Unexpected {
            at: ast.at,
            expected: "a number or a column; a duration can only be a window",
            got: format!("`{}`", crate::duration::format(*duration)),
        }),
        AstKind::Name(name) => column(name, ast.at, scope),
        AstKind::Negate(x) => Ok(match bind(x, scope)? {
            Expr::Constant(x) => Expr::Constant(-x),
            other => Expr::Negate(Box::new(other)),
        }),
        AstKind::Binary { operator, left, right } => {
            Ok(binary(*operator, bind(left, scope)?, bind(right, scope)?))
        }
        AstKind::Call { function, arguments } => call(function, arguments, ast.at, scope),
    }
}

/// Arithmetic of constants is done here, once.
fn binary(operator: Operator, left: Expr, right: Expr) -> Expr {
    match (left, right) {
        (Expr::Constant(a), Expr::Constant(b)) => Expr::Constant(operator.of(a, b)),
        (left, right) => Expr::Binary { operator, left: Box::new(left), right: Box::new(right) },
    }
}

fn column(name: &str, at: usize, scope: &Scope<'_>) -> Result<Expr, ExpressionError> {
    let unknown = |hint: String| ExpressionError::UnknownName { at, name: name.to_owned(), hint };
    let (source, column) = resolve(name, scope).map_err(unknown)?;
    let read = &scope.sources[source];
    if column == TIMESTAMP {
        let hint = "a timestamp stands only in a calendar function, such as `hour(timestamp)`";
        return Err(unknown(hint.to_owned()));
    }
    match read.column(column) {
        Some(SourceColumn::Number) => return Ok(Expr::Column { source, name: Arc::from(column) }),
        Some(SourceColumn::Text) => {
            return Err(unknown(format!("texts are not numbers; `{VADER}({})` is", qualified(read, column))));
        }
        None => {}
    }
    let feature = scope.features.iter().position(|feature| *feature == name && name != scope.this);
    match (feature, read.columns()) {
        (Some(feature), _) => Ok(Expr::Feature(feature)),
        (None, None) => Ok(Expr::Column { source, name: Arc::from(column) }),
        (None, Some(columns)) => {
            let others = scope.sources.iter().filter(|other| other.name != read.name);
            let others: Vec<String> =
                others.map(|other| format!("; of `{0}`: `{0}.…`", other.name)).collect();
            Err(unknown(format!("source `{}` has {}{}", read.name, columns.join(", "), others.concat())))
        }
    }
}

fn qualified(source: &Source, column: &str) -> String {
    format!("{}.{column}", source.name)
}

/// The texts that are scored: a column of texts, or one that a table may have.
fn texts(argument: &Ast, scope: &Scope<'_>) -> Result<Expr, ExpressionError> {
    let wrong = |problem: String| ExpressionError::Arguments {
        at: argument.at,
        function: VADER,
        usage: "text",
        problem,
    };
    let AstKind::Name(name) = &argument.kind else {
        return Err(wrong("expected a column of texts, such as `sentiment.text`".to_owned()));
    };
    let (source, column) = resolve(name, scope).map_err(wrong)?;
    let read = &scope.sources[source];
    match (read.column(column), read.columns()) {
        (Some(SourceColumn::Text), _) => Ok(Expr::Vader { source, name: Arc::from(column) }),
        (None, None) if column != TIMESTAMP => Ok(Expr::Vader { source, name: Arc::from(column) }),
        (Some(SourceColumn::Number), _) => Err(wrong(format!("`{}` holds numbers", qualified(read, column)))),
        (None, columns) => {
            let columns = columns.unwrap_or_default().join(", ");
            Err(wrong(format!("source `{}` has no texts `{column}`, it has {columns}", read.name)))
        }
    }
}

/// The source's index and the column's name in it, or what there is instead.
fn resolve<'n>(name: &'n str, scope: &Scope<'_>) -> Result<(usize, &'n str), String> {
    let Some((source, column)) = name.split_once('.') else {
        return Ok((0, name));
    };
    let found = scope.sources.iter().position(|known| known.name == source);
    let known = || scope.sources.iter().map(|known| known.name.as_str()).collect::<Vec<_>>().join(", ");
    found.map(|i| (i, column)).ok_or_else(|| format!("the set's sources are {}", known()))
}

fn call(name: &str, arguments: &[Ast], at: usize, scope: &Scope<'_>) -> Result<Expr, ExpressionError> {
    if let (VADER, [argument]) = (name, arguments) {
        return texts(argument, scope);
    }
    let Some(entry) = catalog::find(name) else {
        let (name, hint) = (name.to_owned(), catalog::hint(name));
        return Err(ExpressionError::UnknownFunction { at, name, hint });
    };
    let variadic = entry.parameters == [Parameter::Columns];
    let enough = if variadic { arguments.len() >= 2 } else { arguments.len() == entry.parameters.len() };
    if !enough {
        return Err(wrong(
            entry,
            at,
            match arguments.len() {
                1 => "got 1 argument".to_owned(),
                several => format!("got {several} arguments"),
            },
        ));
    }
    let (mut inputs, mut settings) = (Vec::new(), Settings::default());
    for (i, argument) in arguments.iter().enumerate() {
        let parameter = if variadic { Parameter::Column } else { entry.parameters[i] };
        match parameter {
            Parameter::Column | Parameter::Columns => inputs.push(bind(argument, scope)?),
            Parameter::Timestamp => inputs.push(timestamps(entry, argument, scope)?),
            Parameter::Rows => settings.rows.push(rows(entry, argument, scope)?),
            Parameter::Window => settings.windows.push(window(entry, argument, scope)?),
            Parameter::Number => settings.numbers.push(number(entry, argument, scope)?),
        }
    }
    let function = (entry.build)(&settings).map_err(|problem| wrong(entry, at, problem))?;
    Ok(Expr::Call { function, inputs })
}

fn wrong(entry: &Entry, at: usize, problem: String) -> ExpressionError {
    ExpressionError::Arguments { at, function: entry.name, usage: entry.usage, problem }
}

fn timestamps(entry: &Entry, argument: &Ast, scope: &Scope<'_>) -> Result<Expr, ExpressionError> {
    if let AstKind::Name(name) = &argument.kind
        && let Ok((source, TIMESTAMP)) = resolve(name, scope)
    {
        return Ok(Expr::Timestamps { source });
    }
    Err(wrong(entry, argument.at, "expected `timestamp` or `source.timestamp`".to_owned()))
}

fn window(entry: &Entry, argument: &Ast, scope: &Scope<'_>) -> Result<Window, ExpressionError> {
    match &argument.kind {
        AstKind::Duration(width) if width.is_zero() => {
            Err(wrong(entry, argument.at, "expected a window longer than nothing".to_owned()))
        }
        AstKind::Duration(width) => Ok(Window::Time(*width)),
        _ => rows(entry, argument, scope).map(Window::Rows),
    }
}

fn rows(entry: &Entry, argument: &Ast, scope: &Scope<'_>) -> Result<usize, ExpressionError> {
    let expected = |got: String| {
        wrong(entry, argument.at, format!("expected a whole number of rows from 1 to {MOST_ROWS}, got {got}"))
    };
    match &argument.kind {
        AstKind::Duration(duration) => Err(expected(format!("`{}`", crate::duration::format(*duration)))),
        _ => match number(entry, argument, scope)? {
            n if n.fract() == 0.0 && (1.0..=MOST_ROWS as f64).contains(&n) => Ok(n as usize),
            n => Err(expected(n.to_string())),
        },
    }
}

fn number(entry: &Entry, argument: &Ast, scope: &Scope<'_>) -> Result<f64, ExpressionError> {
    match bind(argument, scope)? {
        Expr::Constant(x) if x.is_finite() => Ok(x),
        Expr::Constant(x) => Err(wrong(entry, argument.at, format!("expected a finite number, got {x}"))),
        _ => Err(wrong(entry, argument.at, "expected a number, got a column".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::compile;
    use crate::expression::function::Function;
    use crate::raw::RawTable;

    fn message(text: &str) -> String {
        let price = Source::of("price", RawTable::Price);
        let sources = [price, Source::of("news", RawTable::Sentiment)];
        match compile(text, &Scope { sources: &sources, features: &["mood", "close"], this: "f" }) {
            Ok(expr) => format!("{expr:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_find_their_source() {
        assert_eq!(message("close"), r#"Column { source: 0, name: "close" }"#);
        assert_eq!(message("price.close"), message("close"));
        assert_eq!(message("news.finbert"), r#"Column { source: 1, name: "finbert" }"#);
        let source = Expr::Timestamps { source: 1 };
        let calendar = Function::Calendar(crate::vocabulary::calendar::Field::Hour);
        let expected = Expr::Call { function: calendar, inputs: vec![source] };
        assert_eq!(message("hour(news.timestamp)"), format!("{expected:?}"));
    }

    #[test]
    fn constants_are_folded() {
        assert_eq!(message("-(2 * 3) + 1"), "Constant(-5.0)");
        assert_eq!(message("lag(close, 2 * 7)"), message("lag(close, 14)"));
    }

    #[test]
    fn wrong_names_say_what_there_is() {
        assert_eq!(
            message("1 + clsoe"),
            "at character 5: no column `clsoe`: source `price` has open, high, low, close, volume; of `news`: `news.…`"
        );
        assert_eq!(
            message("x.close"),
            "at character 1: no column `x.close`: the set's sources are price, news"
        );
        assert!(
            message("sma(close, 7)")
                .starts_with("at character 1: no function `sma`: expected one of lag, diff")
        );
        assert!(message("news.text").contains("texts are not numbers"));
        assert!(message("timestamp + 1").contains("stands only in a calendar function"));
    }

    #[test]
    fn texts_are_scored() {
        assert_eq!(message("vader(news.text)"), r#"Vader { source: 1, name: "text" }"#);
        for (text, problem) in [
            ("vader(news.score)", "at character 7: `vader` takes (text), `news.score` holds numbers"),
            ("vader(close)", "at character 7: `vader` takes (text), `price.close` holds numbers"),
            (
                "vader(text)",
                "at character 7: `vader` takes (text), source `price` has no texts `text`, it has open, high, low, close, volume",
            ),
            (
                "vader(1)",
                "at character 7: `vader` takes (text), expected a column of texts, such as `sentiment.text`",
            ),
        ] {
            assert_eq!(message(text), problem);
        }
    }

    #[test]
    fn a_name_that_is_no_column_may_be_a_feature() {
        assert_eq!(message("mood"), "Feature(0)");
        assert_eq!(message("close"), r#"Column { source: 0, name: "close" }"#);
        assert!(message("f").contains("no column `f`"));
    }

    #[test]
    fn wrong_arguments_say_what_is_taken() {
        let window =
            "`rolling_mean` takes (x, window), expected a whole number of rows from 1 to 1000000, got";
        for (text, expected) in [
            ("rolling_mean(close)", "at character 1: `rolling_mean` takes (x, window), got 1 argument".to_owned()),
            ("rolling_mean(close, 0)", format!("at character 21: {window} 0")),
            ("rolling_mean(close, 2.5)", format!("at character 21: {window} 2.5")),
            ("rolling_mean(close, 1e9)", format!("at character 21: {window} 1000000000")),
            ("rolling_mean(close, 0s)", "at character 21: `rolling_mean` takes (x, window), expected a window longer than nothing".to_owned()),
            ("rolling_mean(close, open)", "at character 21: `rolling_mean` takes (x, window), expected a number, got a column".to_owned()),
            ("lag(close, 1d)", "at character 12: `lag` takes (x, n), expected a whole number of rows from 1 to 1000000, got `1d`".to_owned()),
            ("1d", "at character 1: expected a number or a column; a duration can only be a window, got `1d`".to_owned()),
            ("rolling_quantile(close, 7, 2)", "at character 1: `rolling_quantile` takes (x, window, q), expected q from 0 to 1, got 2".to_owned()),
            ("macd(close, 26, 12)", "at character 1: `macd` takes (x, fast, slow), expected fast below slow, got 26 and 12".to_owned()),
            ("clip(close, 1, 0)", "at character 1: `clip` takes (x, low, high), expected low not above high, got 1 and 0".to_owned()),
            ("min(close)", "at character 1: `min` takes (x, y, …), got 1 argument".to_owned()),
            ("hour(close)", "at character 6: `hour` takes (timestamp), expected `timestamp` or `source.timestamp`".to_owned()),
            ("clip(close, 0, 1/0)", "at character 16: `clip` takes (x, low, high), expected a finite number, got inf".to_owned()),
        ] {
            assert_eq!(message(text), expected, "{text}");
        }
    }
}
