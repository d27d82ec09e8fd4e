//! furnace-server with one LightGBM model, as quick as its users can make it: the model is called through LightGBM's C
//! interface for single rows, and more requests may be under way than by default (100, above which it answers 503).
//!
//! `furnace-lightgbm PORT LIB_LIGHTGBM.so MODEL.txt`

use std::error::Error;
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

use furnace::{HostTensor, IoSpec, Model, Server, TensorModel, Values};
use libloading::{Library, Symbol};

type Handle = *mut c_void;
type CreateFromFile = unsafe extern "C" fn(*const c_char, *mut c_int, *mut Handle) -> c_int;
type FeatureCount = unsafe extern "C" fn(Handle, *mut c_int) -> c_int;
type PrepareRow =
    unsafe extern "C" fn(Handle, c_int, c_int, c_int, c_int, c_int, *const c_char, *mut Handle) -> c_int;
type PredictRow = unsafe extern "C" fn(Handle, *const c_void, *mut i64, *mut f64) -> c_int;

/// LightGBM's names for float32 elements and for a prediction that is no raw score.
const FLOAT32: c_int = 0;
const NORMAL: c_int = 0;

#[derive(Debug)]
struct Booster {
    row: Handle,
    features: usize,
    predict: PredictRow,
}

// SAFETY: a prepared row is guarded by a lock of LightGBM's.
unsafe impl Send for Booster {}
// SAFETY: as above.
unsafe impl Sync for Booster {}

fn done(what: &str, status: c_int) -> Result<(), Box<dyn Error>> {
    if status == 0 { Ok(()) } else { Err(format!("LightGBM fails to {what}").into()) }
}

impl Booster {
    fn open(library: &str, model: &str) -> Result<Self, Box<dyn Error>> {
        let model = CString::new(model)?;
        let (mut trees, mut features, mut booster, mut row) = (0, 0, ptr::null_mut(), ptr::null_mut());
        // SAFETY: the types are those of LightGBM's c_api.h, and the library stays loaded until the process ends.
        unsafe {
            let library: &'static Library = Box::leak(Box::new(Library::new(library)?));
            let create: Symbol<CreateFromFile> = library.get(b"LGBM_BoosterCreateFromModelfile")?;
            let count: Symbol<FeatureCount> = library.get(b"LGBM_BoosterGetNumFeature")?;
            let prepare: Symbol<PrepareRow> = library.get(b"LGBM_BoosterPredictForMatSingleRowFastInit")?;
            let predict: Symbol<PredictRow> = library.get(b"LGBM_BoosterPredictForMatSingleRowFast")?;
            done("read the model", create(model.as_ptr(), &mut trees, &mut booster))?;
            done("count features", count(booster, &mut features))?;
            let one = c"num_threads=1".as_ptr();
            done("prepare a row", prepare(booster, NORMAL, 0, 0, FLOAT32, features, one, &mut row))?;
            Ok(Self { row, features: usize::try_from(features)?, predict: *predict })
        }
    }

    fn probability(&self, row: &[f32]) -> f32 {
        let (mut length, mut probability) = (0, f64::NAN);
        // SAFETY: the row has as many elements as the booster has features; one number comes back.
        let status = unsafe { (self.predict)(self.row, row.as_ptr().cast(), &mut length, &mut probability) };
        assert_eq!((status, length), (0, 1), "LightGBM fails to predict");
        probability as f32
    }
}

impl TensorModel for Booster {
    fn name(&self) -> &str {
        "bench"
    }

    fn backend(&self) -> &str {
        "cpu"
    }

    fn inputs(&self) -> Vec<IoSpec> {
        vec![IoSpec::fp32("input", &[self.features])]
    }

    fn outputs(&self) -> Vec<IoSpec> {
        vec![IoSpec::fp32("probability", &[1])]
    }

    fn run(&self, inputs: Vec<HostTensor>) -> furnace::Result<Vec<HostTensor>> {
        // The server has held the inputs against the specification.
        let Some(Values::F32(values)) = inputs.first().map(|tensor| &tensor.values) else { unreachable!() };
        let answers: Vec<f32> = values.chunks_exact(self.features).map(|row| self.probability(row)).collect();
        Ok(vec![HostTensor { shape: vec![answers.len(), 1], values: Values::F32(answers) }])
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, library, model] = &arguments[..] else { return Err("expected PORT LIBRARY MODEL".into()) };
    let booster = Booster::open(library, model)?;
    let server = Server::new().port(port.parse()?).configure(|settings| settings.max_concurrent_requests = 1024);
    Ok(server.model(Model::custom(booster)).serve().await?)
}
