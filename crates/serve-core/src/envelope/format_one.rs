//! Models as the first format of `model.bin` has them: without statistics and linear leaves in trees, without a precision
//! in linear models. Every later release reads them; none writes them.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::ensemble::{Depth, Member, Model, WeightedEnsemble};
use crate::linear::LinearOne;
use crate::link::Link;
use crate::pipeline::Estimator;
use crate::scaler::Scaler;
use crate::transform::{Transform, as_json};
use crate::tree::PackedOne;

#[derive(Deserialize)]
#[allow(clippy::large_enum_variant, reason = "there is one per loaded model")]
enum ModelOne {
    Linear(LinearOne),
    Trees(PackedOne),
    Ensemble(MembersOne),
}

struct MembersOne(Vec<MemberOne>);

#[derive(Deserialize)]
struct MemberOne {
    weight: f64,
    estimator: EstimatorOne,
}

#[derive(Deserialize)]
struct EstimatorOne {
    #[serde(with = "as_json")]
    transforms: Vec<Transform>,
    scaler: Option<Scaler>,
    model: ModelOne,
    link: Link,
}

impl<'de> Deserialize<'de> for MembersOne {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let _depth = Depth::enter().map_err(D::Error::custom)?;
        Vec::deserialize(deserializer).map(Self)
    }
}

/// A model and its link, as the first format has them.
#[derive(Deserialize)]
pub(super) struct SealedOne(ModelOne, Link);

impl SealedOne {
    /// In today's terms, or why the model is none.
    pub(super) fn upgrade(self) -> Result<(Model, Link), String> {
        Ok((self.0.upgrade()?, self.1))
    }
}

impl ModelOne {
    /// Depth is bounded by [`MembersOne`].
    fn upgrade(self) -> Result<Model, String> {
        match self {
            Self::Linear(model) => Ok(Model::Linear(model.try_into().map_err(told)?)),
            Self::Trees(trees) => Ok(Model::Trees(trees.try_into().map_err(told)?)),
            Self::Ensemble(members) => {
                let members = members.0.into_iter().map(MemberOne::upgrade).collect::<Result<_, _>>()?;
                Ok(Model::Ensemble(WeightedEnsemble::new(members).map_err(told)?))
            }
        }
    }
}

impl MemberOne {
    fn upgrade(self) -> Result<Member, String> {
        let EstimatorOne { transforms, scaler, model, link } = self.estimator;
        let estimator = Estimator { transforms, scaler, model: model.upgrade()?, link };
        Ok(Member { weight: self.weight, estimator })
    }
}

fn told(error: impl std::error::Error) -> String {
    error.to_string()
}
