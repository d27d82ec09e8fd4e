//! Requests whose JSON was read before. What a client sends with each tensor is the same JSON again and again, and to make sense
//! of it takes longer than to read the tensor: so each thread remembers what a few of them asked for, by their bytes and the
//! version that was asked.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use ndarray::Array2;
use serve_registry::Deployment;

use super::answer::Wish;
use super::datatype::Datatype;
use super::matrix::has_texts;
use super::request::{InferRequest, RequestParameters};

/// As many as a thread remembers.
const MOST: usize = 4;

/// Longer JSON is not remembered.
const LONGEST: usize = 1 << 10;

thread_local! {
    /// Those that were asked last, the last first.
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

/// What a request asks for, but for its numbers.
#[derive(Debug, Clone)]
pub(super) struct Asks {
    /// Its one tensor, which holds every feature and no text.
    shape: (usize, usize),
    datatype: Datatype,
    pub(super) parameters: RequestParameters,
    pub(super) wish: Arc<Wish>,
}

#[derive(Debug)]
struct Known {
    json: Box<[u8]>,
    /// A version that is unloaded is not kept by this.
    deployment: Weak<Deployment>,
    asks: Asks,
}

impl Asks {
    /// How many rows it has.
    pub(super) fn rows(&self) -> usize {
        self.shape.0
    }

    /// Its numbers; nothing, where these are not as many bytes as it says.
    pub(super) fn matrix(&self, binary: &[u8]) -> Option<Array2<f64>> {
        if self.bytes() != Some(binary.len()) {
            return None;
        }
        Array2::from_shape_vec(self.shape, self.datatype.numbers(binary)?).ok()
    }

    fn bytes(&self) -> Option<usize> {
        let (rows, columns) = self.shape;
        rows.checked_mul(columns)?.checked_mul(self.datatype.size()?)
    }
}

/// What this JSON asked a version for before.
pub(super) fn find(json: &[u8], deployment: &Arc<Deployment>) -> Option<Asks> {
    KNOWN.with_borrow_mut(|known| {
        let is = |one: &Known| {
            *one.json == *json && std::ptr::eq(one.deployment.as_ptr(), Arc::as_ptr(deployment))
        };
        let at = known.iter().position(is)?;
        known[..=at].rotate_right(1);
        Some(known[0].asks.clone())
    })
}

/// A request that may be remembered once its numbers were read.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    json: &'a [u8],
    bytes: usize,
    datatype: Datatype,
    parameters: RequestParameters,
}

impl<'a> Candidate<'a> {
    /// A request that is more than its JSON and numbers is none.
    pub(super) fn of(json: &'a [u8], request: &InferRequest<'_>, deployment: &Deployment) -> Option<Self> {
        let [tensor] = &request.inputs[..] else { return None };
        let parameters = request.parameters.unwrap_or_default();
        // What differs from request to request is not worth it.
        let changes = request.id.is_some() || parameters.timeout.is_some();
        let numbers = tensor.datatype != Datatype::Bool && !has_texts(deployment.pipeline().signature());
        let bytes = tensor.binary.as_ref()?.len();
        let is = json.len() <= LONGEST && !changes && numbers;
        is.then_some(Self { json, bytes, datatype: tensor.datatype, parameters })
    }

    /// Remembers it.
    pub(super) fn learn(self, deployment: &Arc<Deployment>, shape: (usize, usize), wish: &Wish) {
        let Self { json, bytes, datatype, parameters } = self;
        let asks = Asks { shape, datatype, parameters, wish: Arc::new(wish.again()) };
        // A tensor of one feature is no whole row.
        if asks.bytes() != Some(bytes) {
            return;
        }
        let known = Known { json: json.into(), deployment: Arc::downgrade(deployment), asks };
        KNOWN.with_borrow_mut(|all| {
            all.retain(|one| one.deployment.strong_count() > 0);
            all.truncate(MOST - 1);
            all.insert(0, known);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_other_bytes_than_its_shape_says_is_not_known() {
        let wish = Arc::new(Wish::default());
        let asks = |shape, datatype| Asks {
            shape,
            datatype,
            parameters: RequestParameters::default(),
            wish: Arc::clone(&wish),
        };
        let two = asks((1, 2), Datatype::Fp32);
        let bytes = [1.5f32.to_le_bytes(), (-2f32).to_le_bytes()].concat();
        assert_eq!(two.matrix(&bytes), Some(ndarray::array![[1.5, -2.0]]));
        assert_eq!(two.matrix(&bytes[..7]), None);
        assert_eq!(two.matrix(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(asks((usize::MAX, 2), Datatype::Fp64).matrix(&bytes), None);
        assert_eq!(asks((1, 2), Datatype::Bytes).matrix(&bytes), None);
    }
}
