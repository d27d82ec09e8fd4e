//! Features that refer to other features of their set: in which order they can be computed, and whether they can at all.

use super::Expr;

/// The features' indices, each after those that it refers to; else a circle of features, each referring to the next and the
/// last to the first. No recursion: a chain may be as long as the declaration.
pub(crate) fn order(features: &[&Expr]) -> Result<Vec<usize>, Vec<usize>> {
    let references: Vec<Vec<usize>> = features.iter().map(|expr| referred(expr)).collect();
    let mut order = Vec::with_capacity(features.len());
    let mut seen = vec![false; features.len()];
    for start in 0..features.len() {
        // Features that wait for what they refer to, with how many references have been followed.
        let mut path = vec![(start, 0)];
        while let Some((feature, followed)) = path.pop() {
            if followed == 0 && seen[feature] {
                continue;
            }
            seen[feature] = true;
            let Some(next) = references[feature].get(followed).copied() else {
                order.push(feature);
                continue;
            };
            path.push((feature, followed + 1));
            if let Some(begins) = path.iter().position(|(waiting, _)| *waiting == next) {
                return Err(path[begins..].iter().map(|(feature, _)| *feature).collect());
            }
            path.push((next, 0));
        }
    }
    Ok(order)
}

/// The features that an expression names.
fn referred(expr: &Expr) -> Vec<usize> {
    let (mut parts, mut found) = (vec![expr], Vec::new());
    while let Some(part) = parts.pop() {
        match part {
            Expr::Feature(feature) => found.push(*feature),
            Expr::Negate(x) => parts.push(x),
            Expr::Binary { left, right, .. } => parts.extend([&**left, &**right]),
            Expr::Call { inputs, .. } => parts.extend(inputs),
            Expr::Constant(_) | Expr::Column { .. } | Expr::Timestamps { .. } | Expr::Vader { .. } => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(references: &[&[usize]]) -> Result<Vec<usize>, Vec<usize>> {
        let sum = |features: &&[usize]| Expr::Call {
            function: crate::expression::function::Function::Max,
            inputs: features.iter().map(|feature| Expr::Feature(*feature)).collect(),
        };
        let features: Vec<Expr> = references.iter().map(sum).collect();
        order(&features.iter().collect::<Vec<_>>())
    }

    #[test]
    fn what_is_referred_to_comes_first() {
        assert_eq!(of(&[&[2], &[], &[1, 1], &[0, 2]]), Ok(vec![1, 2, 0, 3]));
    }

    #[test]
    fn circles_are_told() {
        assert_eq!(of(&[&[0]]), Err(vec![0]));
        assert_eq!(of(&[&[], &[2], &[3], &[1]]), Err(vec![1, 2, 3]));
    }

    #[test]
    fn a_long_chain_is_no_deep_recursion() {
        let chain: Vec<Expr> = (1..=100_000).map(Expr::Feature).chain([Expr::Constant(1.0)]).collect();
        assert_eq!(order(&chain.iter().collect::<Vec<_>>()).map(|order| order[0]), Ok(100_000));
    }
}
