//! Writes the payload of the model.bin that a foreign model file becomes: a seed for the target model_bin.
//! `cargo run --example payload -- FILE > seeds/model_bin/NAME`

use std::io::Write as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("expected a model file")?;
    let imported = serve_formats::import(&std::fs::read(file)?, serve_formats::Format::Auto)?;
    let sealed = serve_core::envelope::seal(&(&imported.estimator.model, &imported.estimator.link))?;
    Ok(std::io::stdout().write_all(&sealed[52..])?)
}
