//! In which order names come: a client's rows nearly always have the order of the row before, so the name that follows
//! another is looked for where it was the last time, and hashed only when it is not there.
//!
//! Every entry is a guess that is held against the name before it is used. Readers of several threads may overwrite each
//! other's guesses one by one, which costs them a look-up and changes no result; so `Relaxed` is enough.

use std::sync::atomic::{AtomicU32, Ordering};

/// For each input, and for a row's beginning, the input that followed it last.
#[derive(Debug)]
pub(super) struct Order(Box<[AtomicU32]>);

impl Order {
    /// At first each input is followed by the next one.
    pub(super) fn declared(inputs: usize) -> Self {
        let after = |i: usize| if i == inputs { 0 } else { i as u32 + 1 };
        Self((0..=inputs).map(|i| AtomicU32::new(after(i))).collect())
    }

    /// What stands before a row's first name.
    pub(super) fn start(&self) -> usize {
        self.0.len() - 1
    }

    /// Where the name after this one probably stands; possibly nowhere.
    pub(super) fn after(&self, position: usize) -> usize {
        self.0.get(position).map_or(usize::MAX, |next| next.load(Ordering::Relaxed) as usize)
    }

    pub(super) fn learn(&self, position: usize, next: usize) {
        if let Some(known) = self.0.get(position) {
            known.store(next as u32, Ordering::Relaxed);
        }
    }
}

impl Clone for Order {
    fn clone(&self) -> Self {
        Self(self.0.iter().map(|next| AtomicU32::new(next.load(Ordering::Relaxed))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declared_order_is_guessed_until_another_one_is_seen() {
        let order = Order::declared(3);
        let walk = |order: &Order| {
            let mut seen = vec![order.after(order.start())];
            while *seen.last().expect("has a first") < 3 {
                seen.push(order.after(seen[seen.len() - 1]));
            }
            seen
        };
        assert_eq!(walk(&order), [0, 1, 2, 3]);
        order.learn(order.start(), 2);
        order.learn(2, 0);
        order.learn(0, 1);
        order.learn(1, 3);
        assert_eq!(walk(&order), [2, 0, 1, 3]);
        assert_eq!(walk(&order.clone()), [2, 0, 1, 3]);
        assert_eq!(order.after(9), usize::MAX);
    }
}
