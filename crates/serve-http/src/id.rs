//! New ids of requests and predictions: UUIDs of version 7, which sort by the millisecond, and by their order where one
//! thread made them. Threads share no counter, since every request takes two ids.

use uuid::timestamp::context::ThreadLocalContext;
use uuid::{ContextV7, Timestamp, Uuid};

thread_local! {
    static COUNTER: ContextV7 = const { ContextV7::new() };
}

/// An id that nothing else has.
pub(crate) fn new() -> Uuid {
    Uuid::new_v7(Timestamp::now(ThreadLocalContext::new(&COUNTER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_thread_rise_and_those_of_others_differ() {
        let mine: Vec<Uuid> = (0..1000).map(|_| new()).collect();
        assert!(mine.is_sorted_by(|a, b| a < b));
        assert!(mine.iter().all(|id| id.get_version_num() == 7));
        let other = std::thread::spawn(new).join().expect("it ends");
        assert!(!mine.contains(&other));
    }
}
