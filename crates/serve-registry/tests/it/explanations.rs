//! What explains a deployment is made when it is first asked for, once, and never of other files than were loaded.

use std::fs;
use std::sync::Barrier;

use crate::shop::{ROW, Shop, Watched, reference};

#[test]
fn explanations_are_made_at_the_first_call_and_once() {
    let loader = Watched::default();
    let shop = Shop::with(&["v1"]);
    let registry = shop.watched(&loader, 10);
    let deployment = registry.resolve(&reference("m")).expect("served");
    assert!(deployment.explanations().is_none());
    assert_eq!(loader.loads(), ["v1"]);
    let barrier = Barrier::new(20);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                barrier.wait();
                registry.explanations(&deployment).expect("made").explainer().expect("explainable");
            });
        }
    });
    assert_eq!(loader.loads(), ["v1: insight"]);
    let made = deployment.explanations().expect("kept");
    let explanation = made.explainer().expect("explainable").explain(&ROW).expect("explained");
    let output = explanation.outputs().next().expect("the positive class");
    assert_eq!((output.raw_score, output.base_value, output.contributions), (3.5, 1.0, &[0.5, 2.0][..]));
    // The golden rows are [0.5, 1.0] and [-1.0, 0.25], the weights 1 and 2.
    let mean: Vec<_> = made.mean_abs_shap().expect("there are golden rows").iter().collect();
    assert_eq!(mean, [("a", 0.75), ("b", 1.25)]);
    assert_eq!(made.mean_abs_shap().map(|mean| mean.top(1)), Some(vec![("b", 1.25)]));
    assert_eq!(made.importances().split, None);
}

#[test]
fn files_that_changed_or_went_do_not_explain_what_was_loaded() {
    let shop = Shop::with(&["v1"]);
    let registry = shop.open();
    let deployment = registry.resolve(&reference("m")).expect("served");
    let golden = fs::read(shop.path("v1/golden.json")).expect("there");
    let mut other = golden.clone();
    other.push(b' ');
    shop.forge("v1", "golden.json", &other);
    let error = registry.explanations(&deployment).expect_err("refused").to_string();
    assert_eq!(
        error,
        "the files of m@v1 cannot be read again to explain it: they have changed since they were loaded"
    );
    fs::remove_file(shop.path("v1/manifest.json")).expect("removed");
    registry.explanations(&deployment).expect_err("refused");
    assert!(deployment.explanations().is_none(), "a failure to read is not kept");
}
