//! From bytes to an imported model: find out what the file is, then hand it to its format.

use crate::error::ImportError;
use crate::format::{FileKind, Format};
use crate::imported::ImportedModel;
use crate::{catboost, lightgbm, onnx, sklearn, xgboost};

/// Reads a foreign model file. All its trees are used, as the libraries' own `Booster.predict` does, whatever
/// `best_iteration` it carries. `O(bytes)`.
///
/// # Errors
/// When the file is of another kind than `format` says, of a kind that is not read, uses what cannot be answered
/// exactly, or is broken. See [`ImportError`].
pub fn import(bytes: &[u8], format: Format) -> Result<ImportedModel, ImportError> {
    if bytes.is_empty() {
        return Err(ImportError::Empty);
    }
    lower(bytes, format).map(ImportedModel::recoded)
}

fn lower(bytes: &[u8], format: Format) -> Result<ImportedModel, ImportError> {
    let kind = FileKind::of(bytes);
    match (format, kind) {
        (Format::Auto | Format::LightGbm, FileKind::LightGbmText) => lightgbm::import(bytes),
        (Format::Auto | Format::LightGbm, FileKind::LightGbmDump) => lightgbm::import_dump(bytes),
        (Format::Auto | Format::XgBoost, FileKind::XgBoostJson) => xgboost::import(bytes),
        (Format::Auto | Format::XgBoost, FileKind::XgBoostUbjson) => xgboost::import_ubjson(bytes),
        (Format::Auto | Format::CatBoost, FileKind::CatBoostJson) => catboost::import(bytes),
        (Format::Auto | Format::Onnx, FileKind::Onnx) => onnx::import(bytes),
        (Format::Auto | Format::Sklearn, FileKind::SklearnExport) => sklearn::import(bytes),
        (_, FileKind::Unknown) => Err(ImportError::Unknown { start: start_of(bytes) }),
        (Format::Auto, _) => {
            let reason = kind.refusal().unwrap_or_default();
            Err(ImportError::Kind { kind, reason })
        }
        (expected, got) => Err(ImportError::Mismatch { expected, got }),
    }
}

fn start_of(bytes: &[u8]) -> String {
    const SHOWN: usize = 24;
    bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(bytes: &[u8], format: Format) -> String {
        import(bytes, format).expect_err("refused").to_string()
    }

    #[test]
    fn what_is_no_model_is_told_by_what_it_is() {
        assert_eq!(error(b"", Format::Auto), "the file is empty");
        assert_eq!(
            error(b"hello\x00world", Format::Auto),
            "not a model file we know: it begins with \"hello\\x00world\"; \
             supported now: LightGBM text and JSON dump, XGBoost JSON and UBJSON, CatBoost JSON, ONNX of \
             tabular models, scikit-learn by tools/export_sklearn.py"
        );
        let pickle = error(b"\x80\x04\x95", Format::Auto);
        assert!(pickle.starts_with("the file is a Python pickle: it is never read"), "{pickle}");
        let onnx = error(b"\x08\x08\x12\x08skl2onnx", Format::Onnx);
        assert_eq!(onnx, "model: its graph is missing");
    }

    #[test]
    fn a_forced_format_that_the_file_has_not_names_both() {
        assert_eq!(
            error(b"tree\nversion=v4\n", Format::XgBoost),
            "expected a file of format xgboost, the file is a LightGBM text model"
        );
        let pickle = error(b"\x80\x04\x95", Format::LightGbm);
        assert!(
            pickle
                .starts_with("expected a file of format lightgbm, the file is a Python pickle: it is never")
        );
        let text = error(b"tree\nversion=v4\n", Format::Onnx);
        assert_eq!(text, "expected a file of format onnx, the file is a LightGBM text model");
    }
}
