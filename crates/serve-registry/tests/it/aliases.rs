//! The alias file: who moved what when, whoever moves it at the same time.

use std::sync::Barrier;

use serve_core::Alias;
use serve_registry::aliases::Action;
use serve_registry::{Aliases, Storage};

use crate::shop::{Shop, model, version};

#[test]
fn every_move_is_recorded_with_who_made_it() {
    let shop = Shop::with(&["v1", "v2"]);
    let registry = shop.open();
    registry.promote(&model(), &version("v2"), &Alias::champion(), "ann").expect("moved");
    registry.rollback(&model(), "bob").expect("went back");
    let aliases = Aliases::read(&shop.aliases_bytes()).expect("reads");
    let history: Vec<_> = aliases
        .history("champion")
        .iter()
        .map(|step| {
            (step.action, step.target[0].version.to_string(), step.target[0].weight, step.by.as_str())
        })
        .collect();
    let expected = [
        (Action::Publish, "v1".to_owned(), 1.0, "test"),
        (Action::Promote, "v2".to_owned(), 1.0, "ann"),
        (Action::Rollback, "v1".to_owned(), 1.0, "bob"),
    ];
    assert_eq!(history, expected);
}

#[test]
fn a_target_of_several_versions_is_refused_by_this_release() {
    let text = r#"{"format":1,"aliases":{"champion":{"target":[{"version":"v1","weight":0.9},{"version":"v2","weight":0.1}],"history":[]}}}"#;
    let error = Aliases::read(text.as_bytes()).expect_err("refused");
    assert_eq!(error, "alias champion points to 2 versions; this release serves exactly one");
}

/// Two registries on one folder, as in two processes: the version that a rollback goes to is chosen, proven and written
/// under one lock, so eight of them go back eight versions and not fewer.
#[test]
fn simultaneous_rollbacks_each_go_one_back() {
    let versions: Vec<String> = (1..=10).map(|i| format!("v{i}")).collect();
    let shop = Shop::with(&versions.iter().map(String::as_str).collect::<Vec<_>>());
    versions[1..].iter().for_each(|to| shop.point("champion", to));
    let registries = [shop.open(), shop.open()];
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (registry, barrier) = (&registries[i % 2], &barrier);
            scope.spawn(move || {
                barrier.wait();
                registry.rollback(&model(), "test").expect("went back");
            });
        }
    });
    let aliases = shop.directory.aliases(&model()).expect("reads");
    assert_eq!(aliases.target("champion"), Some(&version("v2")));
    assert_eq!(aliases.history("champion").len(), 18);
}
