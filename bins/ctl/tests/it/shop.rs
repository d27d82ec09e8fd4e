//! A registry in a temporary folder, a model small enough to be written by hand, and the program.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value as Json;
use tempfile::TempDir;

/// The probability of the second class above the threshold: the logistic function at 1.
pub(crate) const HIGH: f64 = 0.731_058_578_630_004_9;

/// A LightGBM file: `rain` up to `threshold` gives one answer, above it another; `wind` is not asked for. Values 10 and 20,
/// or for two classes the logistic function at -1 and 1.
pub(crate) fn model(threshold: f64, classes: bool) -> String {
    let (objective, leaves) = if classes { ("binary sigmoid:1", "-1 1") } else { ("regression", "10 20") };
    format!(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nobjective={objective}\n\
         feature_names=rain wind\nfeature_infos=[0:9] [0:9]\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\n\
         threshold={threshold}\ndecision_type=2\nleft_child=-1\nright_child=-2\nleaf_value={leaves}\n\nend of trees\n"
    )
}

/// A folder with a registry in it.
pub(crate) struct Shop(TempDir);

impl Shop {
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// With versions of the model `m`, whose thresholds are 1, 2, ….
    pub(crate) fn with(versions: &[&str]) -> Self {
        let shop = Self::empty();
        for (at, version) in versions.iter().enumerate() {
            shop.import(version, at as f64 + 1.0, &[]).ok();
        }
        shop
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file beside the registry; its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).expect("written");
        self.path(name).display().to_string()
    }

    /// Imports a version of `m`.
    pub(crate) fn import(&self, version: &str, threshold: f64, more: &[&str]) -> Told {
        let file = self.file(&format!("{version}.txt"), &model(threshold, false));
        self.ctl(&[&["import", &file, "--name", "m", "--version", version], more].concat())
    }

    /// Runs the program on the registry.
    pub(crate) fn ctl(&self, args: &[&str]) -> Told {
        self.ctl_with(args, &[])
    }

    pub(crate) fn ctl_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Told {
        let mut command = Command::new(env!("CARGO_BIN_EXE_serve-ctl"));
        for variable in ["SERVE_CONFIG", "SERVE_REGISTRY", "SERVE_FEATURES"] {
            command.env_remove(variable);
        }
        let command = command.env("USER", "alice").envs(environment.iter().copied());
        let output = command.arg("--registry").arg(self.path("registry")).args(args).output();
        Told::of(&output.expect("serve-ctl starts"))
    }

    /// Flips a bit of a file in the registry.
    pub(crate) fn damage(&self, file: &str) {
        let path = self.path("registry").join(file);
        let mut bytes = fs::read(&path).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).expect("written");
    }
}

/// How the program ended and what it said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Told {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Its standard output, after a success.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    #[track_caller]
    pub(crate) fn json(self) -> Json {
        serde_json::from_str(&self.ok()).expect("prints JSON")
    }

    /// Its last words, after it failed with this code.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        let line = self.err.lines().last().unwrap_or_default();
        line.strip_prefix("serve-ctl: ").unwrap_or(line).to_owned()
    }
}

/// Lines of a CSV file.
pub(crate) fn csv(header: &str, rows: &[&str]) -> String {
    rows.iter().fold(format!("{header}\n"), |mut text, row| {
        writeln!(text, "{row}").expect("text grows");
        text
    })
}
