//! What functions of endless memory have to remember of one entity at one moment, and its text in a store.
//!
//! For each such function there is its recursion after every row that was visible at the moment, and the values that finite
//! windows above it may still look back to. Together with the raw rows since, and those that windows below it look back to,
//! every later row has the bits that the whole history would give it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A checkpoint of a plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    /// Every row that was visible then has been taken in, and no other.
    pub(super) moment: Timestamp,
    /// One for each function of endless memory, in the plan's order.
    pub(super) nodes: Vec<NodeState>,
}

/// One function's part of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct NodeState {
    /// The recursion's.
    pub(super) memory: Vec<f64>,
    /// The function's last values, oldest first.
    pub(super) tail: Vec<f64>,
}

/// Numbers as the shortest text that reads back to the same bits: JSON has neither NaN nor infinities.
#[derive(Serialize, Deserialize)]
struct Stored {
    memory: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tail: Vec<String>,
}

impl State {
    pub(super) fn encode(&self) -> String {
        let text = |x: &f64| format!("{x:?}");
        let stored = |node: &NodeState| Stored {
            memory: node.memory.iter().map(text).collect(),
            tail: node.tail.iter().map(text).collect(),
        };
        let nodes: Vec<Stored> = self.nodes.iter().map(stored).collect();
        serde_json::to_string(&nodes).unwrap_or_default()
    }

    /// `None` for a text that is no state: then there is none, and the history is read instead.
    pub(super) fn decode(moment: Timestamp, text: &str) -> Option<Self> {
        let stored: Vec<Stored> = serde_json::from_str(text).ok()?;
        let numbers = |texts: Vec<String>| -> Option<Vec<f64>> {
            texts.into_iter().map(|text| text.parse().ok()).collect()
        };
        let node =
            |node: Stored| Some(NodeState { memory: numbers(node.memory)?, tail: numbers(node.tail)? });
        Some(Self { moment, nodes: stored.into_iter().map(node).collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_keeps_every_bit() {
        let odd = vec![0.1 + 0.2, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX];
        let nodes = vec![NodeState { memory: odd.clone(), tail: odd }, NodeState::default()];
        let state = State { moment: Timestamp::UNIX_EPOCH, nodes };
        let text = state.encode();
        let read = State::decode(state.moment, &text).expect("is a state");
        let bits = |state: &State| -> Vec<u64> {
            state.nodes.iter().flat_map(|n| n.memory.iter().chain(&n.tail)).map(|x| x.to_bits()).collect()
        };
        assert_eq!(bits(&read), bits(&state), "{text}");
    }

    #[test]
    fn what_is_no_state_is_none() {
        for text in ["", "{}", "[1]", r#"[{"memory":["x"]}]"#, r#"[{"memory":[1]}]"#] {
            assert_eq!(State::decode(Timestamp::UNIX_EPOCH, text), None, "{text}");
        }
    }
}
