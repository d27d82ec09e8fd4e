//! CatBoost's hash of a text, against the hashes that CatBoost wrote (`tests/golden/catboost-texts`).

use serve_core::signature::text_hash;

#[test]
fn texts_of_every_length_have_catboosts_hash() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/catboost-texts/hashes.json");
    let known: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut lengths = std::collections::BTreeSet::new();
    for entry in &known {
        let text = entry["value"].as_str().unwrap();
        lengths.insert(text.len());
        assert_eq!(
            u64::from(text_hash(text)),
            entry["hash"].as_u64().unwrap(),
            "{text:?}, {} bytes",
            text.len()
        );
    }
    assert!(
        lengths.len() > 60 && lengths.contains(&0) && lengths.range(300..).next().is_some(),
        "{lengths:?}"
    );
}
