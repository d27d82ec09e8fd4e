//! The program as people run it, on registries in temporary folders.

mod bench;
mod features;
mod history;
mod importing;
mod moving;
mod remote;
mod shop;
mod signing;
mod verify;
