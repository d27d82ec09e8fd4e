//! `use_cached_features: auto`: the stored row where it is fresh, else a computed one, else what the policy says.

use super::weighed::Unfit;
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
        let mut computed: Vec<Option<Weighed>> = stored.iter().map(|_| None).collect();
        if !wanting.is_empty() {
            match self.computed(asked, &names).await {
                Ok(rows) => wanting.iter().zip(rows).for_each(|(i, weighed)| computed[*i] = Some(weighed)),
                Err(error) => {
                    wanting.iter().for_each(|i| computed[*i] = Some(Weighed::Absent(error.clone())));
                }
            }
        }
        let slots = stored.into_iter().zip(computed).zip(entities);
        Ok(slots
            .map(|((stored, computed), entity)| {
                // Where nothing was ever stored, a computed row may be the last that was good.
                let stored = match stored {
                    Weighed::Absent(failed) if failed.may_be_stood_in_for() && asked.as_of.is_none() => {
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
        computed: Option<Weighed>,
    ) -> Result<Retrieved, Unavailable> {
        let failure =
            |computed: Option<Weighed>| computed.and_then(|weighed| weighed.strictly(asked.set).err());
        match (stored, computed, self.config.on_demand.when_stale) {
            (_, Some(Weighed::Fresh(retrieved)), _) | (Weighed::Fresh(retrieved), _, _) => Ok(retrieved),
            (Weighed::Stale(stored, _), Some(Weighed::Stale(computed, unfit)), WhenStale::Degrade)
                if is_better(&computed, &stored) =>
            {
                Ok(degraded(computed, &unfit, None))
            }
            (Weighed::Absent(_), Some(Weighed::Stale(computed, unfit)), WhenStale::Degrade) => {
                Ok(degraded(computed, &unfit, None))
            }
            (Weighed::Stale(stored, unfit), computed, WhenStale::Degrade) => {
                Ok(degraded(stored, &unfit, failure(computed)))
            }
            (Weighed::Stale(_, unfit), computed, WhenStale::Refuse) => {
                Err(unfit.unavailable(asked.set, failure(computed).map(|error| error.briefly())))
            }
            // What the store lacks is the plainer reason, unless computing failed for one that somebody can mend.
            (Weighed::Absent(stored), computed, _) => Err(match failure(computed) {
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

/// Of two rows that are too old or outdated, one of today's declaration is better, and of two such the younger.
fn is_better(one: &Retrieved, other: &Retrieved) -> bool {
    (one.outdated, one.age_seconds) < (other.outdated, other.age_seconds)
}

/// A row that is answered although it is too old or outdated, marked with that and with why no better one was computed.
fn degraded(retrieved: Retrieved, unfit: &Unfit, not_computed: Option<Unavailable>) -> Retrieved {
    let computing = not_computed.map(|error| format!("not computed anew: {}", error.briefly()));
    let reasons = [retrieved.degraded, Some(unfit.to_string()), computing];
    let reasons: Vec<String> = reasons.into_iter().flatten().collect();
    Retrieved { degraded: Some(reasons.join("; ")), ..retrieved }
}

/// Where the store failed, it would fail again.
fn may_be_computed(stored: &Weighed) -> bool {
    match stored {
        Weighed::Fresh(_) | Weighed::Absent(Unavailable::Store { .. }) => false,
        Weighed::Stale(retrieved, _) => retrieved.origin != Origin::LastKnownGood,
        Weighed::Absent(_) => true,
    }
}
