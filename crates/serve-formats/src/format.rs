//! Which formats there are, and what a file is by its content; its name is never looked at.

use std::fmt;
use std::str::FromStr;

use serde::de::IgnoredAny;
use thiserror::Error;

/// Said wherever a file is refused for what it is.
pub(crate) const SUPPORTED: &str = "supported now: LightGBM text and JSON dump, XGBoost JSON and UBJSON, CatBoost JSON, ONNX of \
     tabular models, scikit-learn by tools/export_sklearn.py";

/// The format that a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Format {
    /// Whatever the content says.
    #[default]
    Auto,
    /// LightGBM's text model, as `Booster.save_model` writes it.
    LightGbm,
    /// XGBoost's JSON model, as `Booster.save_model("model.json")` writes it.
    XgBoost,
    /// ONNX, of tabular models.
    Onnx,
    /// CatBoost's JSON model, as `save_model("model.json", format="json")` writes it.
    CatBoost,
    /// A scikit-learn pipeline as `tools/export_sklearn.py` writes it.
    Sklearn,
}

/// A name that no format has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown format {got:?}, expected auto, lightgbm, xgboost, onnx, catboost or sklearn")]
pub struct UnknownFormat {
    /// The name.
    pub got: String,
}

impl Format {
    /// The name that [`FromStr`] reads.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::LightGbm => "lightgbm",
            Self::XgBoost => "xgboost",
            Self::Onnx => "onnx",
            Self::CatBoost => "catboost",
            Self::Sklearn => "sklearn",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        [Self::Auto, Self::LightGbm, Self::XgBoost, Self::Onnx, Self::CatBoost, Self::Sklearn]
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| UnknownFormat { got: text.to_owned() })
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// LightGBM's text model.
    LightGbmText,
    /// LightGBM's `dump_model`.
    LightGbmDump,
    /// XGBoost's JSON model.
    XgBoostJson,
    /// XGBoost's binary JSON model.
    XgBoostUbjson,
    /// XGBoost's binary form before version 3.
    XgBoostBinary,
    /// XGBoost's `dump_model`, which is for people.
    XgBoostDump,
    /// ONNX.
    Onnx,
    /// Python's pickle, which joblib and scikit-learn use.
    Pickle,
    /// A compressed file; from joblib it holds a pickle.
    Compressed,
    /// A ZIP archive: PyTorch, Keras, skops, NumPy's `.npz`.
    Zip,
    /// HDF5: older Keras.
    Hdf5,
    /// NumPy's `.npy`.
    Numpy,
    /// CatBoost's JSON model.
    CatBoostJson,
    /// CatBoost's binary model.
    CatBoost,
    /// XML, such as PMML.
    Xml,
    /// A scikit-learn pipeline as `tools/export_sklearn.py` writes it.
    SklearnExport,
    /// JSON that is no model we know.
    OtherJson,
    /// None of the above.
    Unknown,
}

/// Beginnings that tell what a file is.
const MAGIC: [(&[u8], FileKind); 17] = [
    (b"tree\n", FileKind::LightGbmText),
    (b"tree\r\n", FileKind::LightGbmText),
    (b"binf", FileKind::XgBoostBinary),
    (b"bs64", FileKind::XgBoostBinary),
    (b"ccopy_reg\n", FileKind::Pickle),
    (b"csklearn", FileKind::Pickle),
    (b"PK\x03\x04", FileKind::Zip),
    (b"\x1f\x8b", FileKind::Compressed),
    (b"\x78\x01", FileKind::Compressed),
    (b"\x78\x5e", FileKind::Compressed),
    (b"\x78\x9c", FileKind::Compressed),
    (b"\x78\xda", FileKind::Compressed),
    (b"\x89HDF", FileKind::Hdf5),
    (b"\x93NUMPY", FileKind::Numpy),
    (b"CBM1", FileKind::CatBoost),
    (b"<?xml", FileKind::Xml),
    (b"<PMML", FileKind::Xml),
];

impl FileKind {
    /// What these bytes are. Looks at the beginning, and for JSON at the keys.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            return *kind;
        }
        match bytes {
            [0x80, 0..=5, ..] => Self::Pickle,
            [b'{', b'i' | b'U' | b'I' | b'l' | b'L' | b'$' | b'#', ..] => Self::XgBoostUbjson,
            // field 1, `ir_version`, then one of the fields that a model has next
            [0x08, 2..=0x20, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..] => Self::Onnx,
            _ => Self::of_json(bytes.trim_ascii_start()),
        }
    }

    fn of_json(bytes: &[u8]) -> Self {
        let has = |key: &[u8]| bytes.windows(key.len()).any(|window| window == key);
        let json = || serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
        match bytes.first() {
            Some(b'{') if has(b"\"format\": \"serve-sklearn\"") || has(b"\"format\":\"serve-sklearn\"") => {
                Self::SklearnExport
            }
            Some(b'{') if has(b"\"features_info\"") && has(b"\"scale_and_bias\"") => Self::CatBoostJson,
            // before XGBoost's, since a feature may be called "learner"
            Some(b'{') if has(b"\"tree_info\"") && has(b"\"max_feature_idx\"") => Self::LightGbmDump,
            Some(b'{') if has(b"\"learner\"") => Self::XgBoostJson,
            Some(b'[') if has(b"\"nodeid\"") => Self::XgBoostDump,
            Some(b'{' | b'[') if json() => Self::OtherJson,
            _ => Self::Unknown,
        }
    }

    /// Why a file of this kind is not read, and what to do; `None` for what is read.
    #[must_use]
    pub fn refusal(self) -> Option<&'static str> {
        Some(match self {
            Self::LightGbmText
            | Self::LightGbmDump
            | Self::XgBoostJson
            | Self::XgBoostUbjson
            | Self::CatBoostJson
            | Self::Onnx
            | Self::SklearnExport => return None,
            Self::XgBoostDump => "it is written for people and not exact; use save_model",
            Self::XgBoostBinary => {
                "XGBoost itself no longer reads it; load it with XGBoost 2 and save it as JSON"
            }
            Self::Pickle => "it is never read, because loading it would execute code",
            Self::Compressed => {
                "unpack it first; if joblib made it, it is a pickle, and never read, because loading it would execute code"
            }
            Self::Zip => "PyTorch, Keras, skops and NumPy keep such files, and none of them is read",
            Self::CatBoost => {
                "load it with CatBoost and save it with save_model(\"model.json\", format=\"json\")"
            }
            Self::Hdf5 | Self::Numpy | Self::Xml | Self::OtherJson => "it is not read",
            Self::Unknown => "it is not a model file we know",
        })
    }
}

/// With its article, as in "the file is …".
impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LightGbmText => "a LightGBM text model",
            Self::LightGbmDump => "a dump of a LightGBM model",
            Self::XgBoostJson => "an XGBoost JSON model",
            Self::XgBoostUbjson => "an XGBoost model in UBJSON",
            Self::XgBoostBinary => "an XGBoost model in its old binary form",
            Self::XgBoostDump => "a dump of an XGBoost model",
            Self::Onnx => "an ONNX model",
            Self::Pickle => "a Python pickle",
            Self::Compressed => "a compressed file",
            Self::Zip => "a ZIP archive",
            Self::Hdf5 => "an HDF5 file",
            Self::Numpy => "a NumPy array",
            Self::CatBoostJson => "a CatBoost JSON model",
            Self::CatBoost => "a CatBoost model in its binary form",
            Self::Xml => "an XML file",
            Self::SklearnExport => "an exported scikit-learn pipeline",
            Self::OtherJson => "JSON, but of no model that we know",
            Self::Unknown => "of no kind we know",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_by_the_names_of_the_contract() {
        for format in
            [Format::Auto, Format::LightGbm, Format::XgBoost, Format::Onnx, Format::CatBoost, Format::Sklearn]
        {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "LightGBM".parse::<Format>().expect_err("refused").to_string();
        assert_eq!(
            error,
            "unknown format \"LightGBM\", expected auto, lightgbm, xgboost, onnx, catboost or sklearn"
        );
    }

    #[test]
    fn files_are_known_by_their_content() {
        for (bytes, kind) in [
            (&b"tree\nversion=v4\n"[..], FileKind::LightGbmText),
            (b"tree\r\nversion=v4\r\n", FileKind::LightGbmText),
            (b"trees\n", FileKind::Unknown),
            (b" \n{\"version\":[3,0,0],\"learner\":{", FileKind::XgBoostJson),
            (b"{L\0\0\0\0\0\0\0\x07learner{", FileKind::XgBoostUbjson),
            (b"binf\0\0", FileKind::XgBoostBinary),
            (b"\x80\x04\x95\xc5", FileKind::Pickle),
            (b"\x80\x20", FileKind::Unknown),
            (b"\x08\x08\x12\x08skl2onnx", FileKind::Onnx),
            (b"PK\x03\x04\x14", FileKind::Zip),
            (b"{\"features_info\":{},\"scale_and_bias\":[1,[0]]}", FileKind::CatBoostJson),
            (b"{\n \"format\": \"serve-sklearn\",", FileKind::SklearnExport),
            (b"{\"a\":1}", FileKind::OtherJson),
            (b"[1,2]", FileKind::OtherJson),
            (b"[1,2", FileKind::Unknown),
            (b"[{\"nodeid\":0}]", FileKind::XgBoostDump),
            (b"{\"name\":\"tree\",\"max_feature_idx\":1,\"tree_info\":[]}", FileKind::LightGbmDump),
            (b"", FileKind::Unknown),
        ] {
            assert_eq!(FileKind::of(bytes), kind, "{}", bytes.escape_ascii());
        }
    }
}
