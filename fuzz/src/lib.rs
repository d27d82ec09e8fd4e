//! What every fuzz target does with bytes from outside: they are read or refused, never more, and whatever is taken for
//! a model has to hold up as one. A panic, a hang or an allocation that the bytes do not bear out is a finding.

use serve_core::naive;
use serve_core::{DecisionPolicy, Digest, Golden, Pipeline, Signature, Target, Task, envelope};
use serve_formats::{Format, ImportedModel, MlflowModel, import, read_golden, sample_golden};

/// Two features, of which `colour` has a vocabulary, and two classes.
const SMALL_MODEL: &[u8] = b"tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\n\
    objective=binary sigmoid:1\nfeature_names=size colour\nfeature_infos=[0:1] 0:1\n\nTree=0\nnum_leaves=3\n\
    num_cat=1\nsplit_feature=0 1\nthreshold=0.5 0\ndecision_type=10 9\nleft_child=1 -1\nright_child=-2 -3\n\
    leaf_value=-1 0 2\ncat_boundaries=0 1\ncat_threshold=1\n\nend of trees\n\n\
    pandas_categorical:[[\"red\",\"7\"]]\n";

fn small_model() -> ImportedModel {
    import(SMALL_MODEL, Format::LightGbm).expect("it is sound")
}

fn pipeline(model: &ImportedModel) -> Pipeline {
    let signature = model.signature().expect("an imported model has a signature");
    let target = Target { name: "y".to_owned(), task: model.task.clone() };
    let pipeline = Pipeline::new(signature, &model.estimator, target, DecisionPolicy::Argmax);
    pipeline.expect("an imported model fits its task")
}

fn told(error: &dyn std::error::Error) {
    assert!(error.to_string().len() < 10_000, "a message is for people");
}

/// Imports `bytes`, and predicts with what comes out.
pub fn import_and_predict(bytes: &[u8], format: Format) {
    let model = match import(bytes, format) {
        Ok(model) => model,
        Err(error) => return told(&error),
    };
    let _ = model.summary();
    let pipeline = pipeline(&model);
    let golden = sample_golden(&model, pipeline.signature(), 2);
    if !golden.rows.is_empty() {
        golden.prove(&pipeline).expect("the engine answers as the naive evaluator");
    }
}

/// Reads `payload` as a model of ours; the envelope is right, since whoever can write a file can write that too.
pub fn open_and_predict(payload: &[u8]) {
    let mut bytes = envelope::seal(&()).expect("encodes")[..12].to_vec();
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(Digest::of(payload).as_bytes());
    bytes.extend(payload);
    let Ok((model, link)) = envelope::open_model(&bytes) else { return };
    let Some(inputs) = model.inputs().filter(|inputs| *inputs <= 1 << 16) else { return };
    let estimator = serve_core::Estimator::of(model, link);
    let names: Vec<String> = (0..inputs).map(|input| format!("f{input}")).collect();
    let Ok(signature) = Signature::of_numbers(names.clone()) else { return };
    for outputs in 1..4_usize {
        let classes = (0..outputs).map(|class| class.to_string()).collect();
        let task = if outputs == 1 { Task::Regression } else { Task::Classification { classes } };
        let target = Target { name: "y".to_owned(), task };
        let row = vec![0.5; inputs];
        if let Ok(pipeline) = Pipeline::new(signature.clone(), &estimator, target, DecisionPolicy::Argmax)
            && let Ok(prediction) = pipeline.predict(&row)
        {
            let expected = naive::scores(&estimator, &names, &row).expect("the naive evaluator answers too");
            assert_eq!(prediction.scores(), expected);
        }
    }
}

/// Reads `bytes` as golden rows of a small model with texts and classes.
pub fn read_rows(bytes: &[u8]) {
    if let Ok(golden) = read_golden(bytes, &small_model()) {
        assert!(golden.rows.len() == golden.scores.len() && golden.rows.iter().all(|row| row.len() == 2));
    }
}

/// Reads `bytes` as a bundle's golden rows, and holds the small model against them, whatever their shape.
pub fn prove_rows(bytes: &[u8]) {
    if let Ok(golden) = serde_json::from_slice::<Golden>(bytes)
        && let Err(error) = golden.prove(&pipeline(&small_model()))
    {
        told(&error);
    }
}

/// Reads `bytes` as MLflow's description of a folder, and names a model's inputs by it.
pub fn describe_folder(bytes: &[u8]) {
    match MlflowModel::describe(bytes) {
        Ok(described) => {
            let unnamed = small_model().with_feature_names(vec!["f0".to_owned(), "f1".to_owned()]);
            if let Err(error) = described.name_inputs(unnamed.expect("two names")) {
                told(&error);
            }
        }
        Err(error) => told(&error),
    }
}
