//! `use_cached_features: auto`: the stored row where it is fresh, else a computed one, else what the policy says.

use super::{Asked, Origin, Retrieved, Retriever, Unavailable, Weighed};
use crate::config::WhenStale;
use crate::feature_cache::RowKind;
use crate::name::Entity;

impl Retriever {
    pub(super) async fn stored_or_computed(
        &self,
        asked: Asked<'_>,
        entities: &[Entity],
    ) -> Result<Vec<Result<Retrieved, Unavailable>>, Unavailable> {
        let stored = self.stored(asked, entities).await?;
        let wanting: Vec<usize> = (0..stored.len()).filter(|i| may_be_computed(&stored[*i])).collect();
        let names: Vec<Entity> = wanting.iter().map(|i| entities[*i].clone()).collect();
        let mut computed: Vec<Option<Result<Retrieved, Unavailable>>> = stored.iter().map(|_| None).collect();
        if !wanting.is_empty() {
            match self.computed(asked, &names).await {
                Ok(rows) => wanting.iter().zip(rows).for_each(|(i, weighed)| {
                    computed[*i] = Some(weighed.strictly(asked.set));
                }),
                Err(error) => wanting.iter().for_each(|i| computed[*i] = Some(Err(error.clone()))),
            }
        }
        let slots = stored.into_iter().zip(computed).zip(entities);
        Ok(slots
            .map(|((stored, computed), entity)| {
                // Where nothing was ever stored, a computed row may be the last that was good.
                let stored = match stored {
                    Weighed::Absent(
                        failed @ (Unavailable::Store { .. } | Unavailable::Unreadable { .. }),
                    ) if asked.as_of.is_none() => {
                        self.stand_in(asked, &asked.key(entity, RowKind::Computed), failed)
                    }
                    other => other,
                };
                self.choose(asked, stored, computed)
            })
            .collect())
    }

    /// The better of a stored row and a computed one.
    fn choose(
        &self,
        asked: Asked<'_>,
        stored: Weighed,
        computed: Option<Result<Retrieved, Unavailable>>,
    ) -> Result<Retrieved, Unavailable> {
        let not_computed = match computed {
            Some(Ok(retrieved)) => return Ok(retrieved),
            Some(Err(error)) => Some(error),
            None => None,
        };
        match (stored, self.config.on_demand.when_stale) {
            (Weighed::Fresh(retrieved), _) => Ok(retrieved),
            (Weighed::Stale(mut retrieved, unfit), WhenStale::Degrade) => {
                let reasons = [retrieved.degraded.take(), Some(unfit.to_string())];
                let computing = not_computed.map(|error| format!("not computed anew: {}", error.briefly()));
                let reasons: Vec<String> = reasons.into_iter().flatten().chain(computing).collect();
                retrieved.degraded = Some(reasons.join("; "));
                Ok(retrieved)
            }
            (Weighed::Stale(_, unfit), WhenStale::Refuse) => {
                Err(unfit.unavailable(asked.set, not_computed.map(|error| error.briefly())))
            }
            // What the store lacks is the plainer reason, unless computing failed for one that somebody can mend.
            (Weighed::Absent(stored), _) => Err(match not_computed {
                Some(
                    error @ (Unavailable::Store { .. }
                    | Unavailable::Computing { .. }
                    | Unavailable::Unreadable { .. }
                    | Unavailable::Stale { .. }
                    | Unavailable::Rejected { .. }),
                ) => error,
                Some(_) | None => stored,
            }),
        }
    }
}

/// Where the store failed, it would fail again.
fn may_be_computed(stored: &Weighed) -> bool {
    match stored {
        Weighed::Fresh(_) | Weighed::Absent(Unavailable::Store { .. }) => false,
        Weighed::Stale(retrieved, _) => retrieved.origin != Origin::LastKnownGood,
        Weighed::Absent(_) => true,
    }
}
