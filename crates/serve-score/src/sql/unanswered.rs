//! Rows of functions that had no answer: how many, and the first reasons. On one machine a session counts them; a part of a query that
//! came from elsewhere counts for itself, and what runs it takes the counts out of its plan.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_plan::ExecutionPlan;

use super::function::ModelFunction;
use super::lock;

/// Reasons that are kept.
const REASONS: usize = 5;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    rows: AtomicU64,
    reasons: Mutex<Vec<String>>,
}

impl Unanswered {
    pub(super) fn note(&self, reasons: impl IntoIterator<Item = String>) {
        for reason in reasons {
            self.rows.fetch_add(1, Ordering::Relaxed);
            add_reasons(&mut lock(&self.reasons), [reason]);
        }
    }

    /// How many rows there were so far, and the first reasons.
    pub(super) fn told(&self) -> (u64, Vec<String>) {
        (self.rows.load(Ordering::Relaxed), lock(&self.reasons).clone())
    }

    /// What was not taken yet.
    fn take(&self) -> (u64, Vec<String>) {
        (self.rows.swap(0, Ordering::Relaxed), std::mem::take(&mut lock(&self.reasons)))
    }
}

/// Adds reasons to the first ones, each once.
pub fn add_reasons(all: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for reason in more {
        if all.len() < REASONS && !all.contains(&reason) {
            all.push(reason);
        }
    }
}

/// Takes how many rows the functions of a plan left without an answer since this was asked last, and the first reasons.
///
/// # Errors
/// Never, but for mistakes of ours.
pub fn take_unanswered(plan: &Arc<dyn ExecutionPlan>) -> Result<(u64, Vec<String>)> {
    let (mut rows, mut reasons) = (0, Vec::new());
    plan.apply(|plan| {
        plan.apply_expressions(&mut |expression| {
            expression.apply(|expression| {
                let function = expression.downcast_ref::<ScalarFunctionExpr>();
                let function = function.and_then(|function| function.fun().inner().downcast_ref());
                if let Some(function) = function.map(ModelFunction::unanswered) {
                    let (more, why) = function.take();
                    rows += more;
                    add_reasons(&mut reasons, why);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok((rows, reasons))
}
