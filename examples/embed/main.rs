//! Predicts with a bundle in a folder: `cargo run --example embed [FOLDER]`. See README.md.
#![allow(clippy::print_stdout, reason = "what an example shows, it prints")]

use std::error::Error;
use std::path::PathBuf;

use serve_core::{Bundle, EngineLoader, ModelLoader};

const BUNDLE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../models/vader-logistic-regression/20250331_000000");

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| BUNDLE.to_owned()));

    let manifest = std::fs::read(folder.join("manifest.json"))?;
    let bundle = Bundle::open(manifest, |name, _| {
        std::fs::read(folder.join(name)).map_err(Box::<dyn Error>::from) // checked by the manifest's digests
    })?;
    let pipeline = EngineLoader.load(&bundle)?;
    bundle.golden()?.prove(&pipeline)?; // the rows that the model was published with, answered as they were then

    let row = vec![0.01; pipeline.signature().len()];
    let prediction = pipeline.predict(&row)?;
    println!("{}: {:?} {:?}", folder.display(), pipeline.label(&prediction), prediction.scores());
    Ok(())
}
