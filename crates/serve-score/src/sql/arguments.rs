//! The rule that finds a model's inputs among the columns of a query, and puts the pinned version in the place of a reference.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result, ScalarValue, TableReference, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF, lit};

use super::answering::Answers;
use super::function::{ModelFunction, check_types};
use super::pinned_text;
use crate::model::PinnedModel;

/// See the module. The functions know their session's models.
#[derive(Debug)]
pub(super) struct InputsByName;

impl FunctionRewrite for InputsByName {
    fn name(&self) -> &'static str {
        "model_inputs_by_name"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else {
            return Ok(Transformed::no(expr));
        };
        let Some(function) = func.inner().downcast_ref::<ModelFunction>() else {
            return Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })));
        };
        let mut args = args.into_iter();
        let Some(Expr::Literal(text, _)) = args.next() else {
            return plan_err!(
                "{}: the first argument is the model, a text that is not computed",
                func.name()
            );
        };
        let model = function.model(&text)?;
        let inputs = inputs(&model, args.collect(), schema)?;
        check_types(&model, inputs.iter().map(|input| input.get_type(schema).ok()))?;
        let planned = function.planned(Answers::of(function.kind(), &model)?);
        let func = Arc::new(ScalarUDF::from(planned));
        let pinned = lit(ScalarValue::Utf8(Some(pinned_text(&model))));
        let args = std::iter::once(pinned).chain(inputs).collect();
        Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
    }
}

/// The inputs in the signature's order.
fn inputs(model: &PinnedModel, args: Vec<Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
    let names: Vec<&str> = model.pipeline().signature().names().collect();
    if let [wildcard] = &args[..]
        && let Some(Star(table)) = star(wildcard)
    {
        return names.iter().map(|name| column(model, name, table, schema)).collect();
    }
    if args.iter().any(|arg| star(arg).is_some()) {
        return plan_err!("{model}: * stands alone behind the model, or not at all");
    }
    let position = |arg: &Expr| name_of(arg).and_then(|name| names.iter().position(|known| *known == name));
    let positions: Vec<Option<usize>> = args.iter().map(position).collect();
    if positions.iter().all(Option::is_some) {
        let by_name = names.iter().enumerate().map(|(at, name)| {
            let mut given = positions.iter().zip(&args).filter(|(position, _)| **position == Some(at));
            match (given.next(), given.next()) {
                (Some((_, arg)), None) => Ok(arg.clone()),
                (None, _) => plan_err!("{model}: the input {name:?} is missing"),
                _ => plan_err!("{model}: the input {name:?} is given twice"),
            }
        });
        return by_name.collect();
    }
    if args.len() != names.len() {
        return plan_err!("{model} takes {} inputs ({}), got {}", names.len(), names.join(", "), args.len());
    }
    // In the signature's order; a column whose name is another input's was meant for that one.
    for (at, (name, found)) in names.iter().zip(&positions).enumerate() {
        if let Some(other) = found.filter(|other| *other != at) {
            let other = names[other];
            return plan_err!(
                "{model}: {other:?} stands where {name:?} is expected; name all inputs, or none in another's place"
            );
        }
    }
    Ok(args)
}

/// `*`, or `t.*` of a table.
struct Star<'a>(Option<&'a TableReference>);

#[expect(deprecated, reason = "the planner still makes wildcards of the * in arguments")]
fn star(expr: &Expr) -> Option<Star<'_>> {
    match expr {
        Expr::Wildcard { qualifier, .. } => Some(Star(qualifier.as_ref())),
        _ => None,
    }
}

fn name_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        Expr::Alias(alias) => Some(&alias.name),
        _ => None,
    }
}

/// The column of an input among all, or among those of one table.
fn column(
    model: &PinnedModel,
    name: &str,
    table: Option<&TableReference>,
    schema: &DFSchema,
) -> Result<Expr> {
    let of_table = |qualifier: Option<&TableReference>| table.is_none() || qualifier == table;
    let mut found = schema.iter().filter(|(qualifier, field)| field.name() == name && of_table(*qualifier));
    match (found.next(), found.next()) {
        (Some((qualifier, _)), None) => Ok(Expr::Column(Column::new(qualifier.cloned(), name))),
        (None, _) => plan_err!("{model}: the input {name:?} is not among the columns of the query"),
        _ => plan_err!("{model}: several tables have a column {name:?}; say t.* for one of them"),
    }
}
