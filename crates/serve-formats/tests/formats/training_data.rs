//! What a file of training rows tells about an imported model.

use serve_core::reference::Reference;
use serve_formats::{Format, ImportedModel, TrainingData, import};

use crate::cases::{chain, pipeline};

/// The number `size` and the text `colour`, which is red or blue; the value is 10 up to a size of 0.5, 20 above.
fn small() -> ImportedModel {
    let text = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nobjective=regression\n\
                feature_names=size colour\nfeature_infos=[0:1] 0:1\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\n\
                threshold=0.5\ndecision_type=2\nleft_child=-1\nright_child=-2\nleaf_value=10 20\n\nend of trees\n\n\
                pandas_categorical:[[\"red\",\"blue\"]]\n";
    import(text.as_bytes(), Format::Auto).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn day(text: &str) -> Option<u32> {
    text.parse().ok()
}

fn reference(csv: &str) -> (Reference, usize) {
    let model = small();
    let data = TrainingData::read(csv.as_bytes(), &model, Some("day"), day).unwrap();
    data.reference(&pipeline(&model), &["value".to_owned()]).unwrap()
}

fn error(csv: &str) -> String {
    let read = TrainingData::read(csv.as_bytes(), &small(), Some("day"), day);
    chain(&read.expect_err("refused"))
}

#[test]
fn columns_are_found_by_name_and_what_is_missing_is_no_value() {
    let (reference, unscored) = reference(
        "\u{feff}target,colour,day,size\n1,red,7,0\n0,blue,3,1\n1,,9,NA\n0,green,4,0.25\n1,red,8,0.75\n",
    );
    assert_eq!((reference.rows, unscored), (5, 0));
    assert_eq!(reference.window, Some(("3".to_owned(), "9".to_owned())));
    let [size, colour] = &reference.features[..] else { panic!("two features") };
    assert_eq!((size.name.as_str(), size.null_rate, size.range()), ("size", 0.2, Some((0.0, 1.0))));
    assert_eq!(size.quantiles[85], 0.25, "the first third of 0, 0.25, 0.75, 1");
    assert!(size.categories.is_empty());
    // LightGBM's code of a text that it does not know is -1; it is counted all the same.
    assert_eq!((colour.null_rate, colour.range()), (0.2, Some((-1.0, 1.0))));
    let counted: Vec<_> = colour.categories.iter().map(|(text, count)| (text.as_str(), *count)).collect();
    assert_eq!(counted, [("blue", 1), ("green", 1), ("red", 2)]);
    let [value] = &reference.scores[..] else { panic!("one score") };
    assert_eq!((value.name.as_str(), value.range()), ("value", Some((10.0, 20.0))));
    let json = serde_json::to_string(&reference).unwrap();
    assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
}

#[test]
fn infinities_are_no_values_of_a_distribution() {
    let (reference, _) = reference("size,colour,day\ninf,red,1\n-inf,red,1\n2,red,1\n");
    assert_eq!(reference.features[0].range(), Some((2.0, 2.0)));
    assert!((reference.features[0].null_rate - 2.0 / 3.0).abs() < 1e-15);
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    assert_eq!(error("size,day\n1,1\n"), "the training data has no column \"colour\"");
    assert_eq!(error("size,colour\n1,red\n"), "the training data has no column \"day\"");
    assert_eq!(error("size,colour,size,day\n"), "the training data has the column \"size\" twice");
    assert_eq!(error("size,colour,day\n"), "the training data has no rows");
    assert_eq!(
        error("size,colour,day\n1,red,1\ntall,red,2\n"),
        "line 3, column \"size\": expected a number, got \"tall\""
    );
    assert_eq!(
        error("size,colour,day\n1,red,soon\n"),
        "line 2, column \"day\": expected a time, RFC 3339 or a date, got \"soon\""
    );
    assert!(error("size,colour,day\n1,red\n").starts_with("the training data cannot be read: "));
}
