//! The registry from outside: real folders, real threads, real processes; what loads is counted and held back by an
//! injected loader.

mod aliases;
mod bucket;
mod buckets;
mod confinement;
mod degraded;
mod explanations;
mod explicit;
mod faults;
mod guard;
mod guard_judge;
mod guard_registry;
mod limits;
mod memory;
mod polling;
mod processes;
mod pruning;
mod publishing;
mod pushing;
mod refusal;
mod retirement;
mod selectors;
mod shop;
mod signatures;
mod single_flight;
mod storage;
mod stress;
mod unreadable;
