//! Names get their meaning: columns their source, calls their function with checked arguments.
//!
//! A plain name is a column of the first source, `source.column` one of that source, and `timestamp` the moment of a row.

use std::sync::Arc;

use super::catalog::{self, Entry, MOST_ROWS, Parameter, Settings};
use super::{Ast, AstKind, Expr, ExpressionError, Operator};
use crate::raw::{PRICE_COLUMNS, RawTable};
use crate::vocabulary::Window;

const TIMESTAMP: &str = "timestamp";

/// The declared sources, in order.
pub(crate) struct Scope<'a> {
    pub(crate) sources: &'a [(String, RawTable)],
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
    let (source_name, table) = &scope.sources[source];
    match table {
        _ if column == TIMESTAMP => Err(unknown(
            "a timestamp stands only in a calendar function, such as `hour(timestamp)`".to_owned(),
        )),
        RawTable::Price if !PRICE_COLUMNS.contains(&column) => {
            let others = scope.sources.iter().skip(1).map(|(name, _)| format!("; of `{name}`: `{name}.…`"));
            let others: String = others.collect();
            Err(unknown(format!("source `{source_name}` has {}{others}", PRICE_COLUMNS.join(", "))))
        }
        RawTable::Sentiment if column == "text" => {
            Err(unknown("texts are not numbers; a score of them is, such as `score`".to_owned()))
        }
        RawTable::Price | RawTable::Sentiment | RawTable::Events(_) => {
            Ok(Expr::Column { source, name: Arc::from(column) })
        }
    }
}

/// The source's index and the column's name in it, or what there is instead.
fn resolve<'n>(name: &'n str, scope: &Scope<'_>) -> Result<(usize, &'n str), String> {
    let Some((source, column)) = name.split_once('.') else {
        return Ok((0, name));
    };
    let found = scope.sources.iter().position(|(known, _)| known == source);
    let known = || scope.sources.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    found.map(|i| (i, column)).ok_or_else(|| format!("the set's sources are {}", known()))
}

fn call(name: &str, arguments: &[Ast], at: usize, scope: &Scope<'_>) -> Result<Expr, ExpressionError> {
    let Some(entry) = catalog::find(name) else {
        let (name, hint) = (name.to_owned(), catalog::hint(name));
        return Err(ExpressionError::UnknownFunction { at, name, hint });
    };
    let variadic = entry.parameters == [Parameter::Columns];
    let enough = if variadic { arguments.len() >= 2 } else { arguments.len() == entry.parameters.len() };
    if !enough {
        return Err(wrong(entry, at, format!("got {} arguments", arguments.len())));
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

    fn message(text: &str) -> String {
        let sources = [("price".to_owned(), RawTable::Price), ("news".to_owned(), RawTable::Sentiment)];
        match compile(text, &Scope { sources: &sources }) {
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
        assert!(
            message("rolling_mean(vader(news.text), 1d)")
                .contains("no function `vader`: scoring texts comes with a later release")
        );
        assert!(message("news.text").contains("texts are not numbers"));
        assert!(message("timestamp + 1").contains("stands only in a calendar function"));
    }

    #[test]
    fn wrong_arguments_say_what_is_taken() {
        let window =
            "`rolling_mean` takes (x, window), expected a whole number of rows from 1 to 1000000, got";
        for (text, expected) in [
            ("rolling_mean(close)", "at character 1: `rolling_mean` takes (x, window), got 1 arguments".to_owned()),
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
            ("min(close)", "at character 1: `min` takes (x, y, …), got 1 arguments".to_owned()),
            ("hour(close)", "at character 6: `hour` takes (timestamp), expected `timestamp` or `source.timestamp`".to_owned()),
            ("clip(close, 0, 1/0)", "at character 16: `clip` takes (x, low, high), expected a finite number, got inf".to_owned()),
        ] {
            assert_eq!(message(text), expected, "{text}");
        }
    }
}
