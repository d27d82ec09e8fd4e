//! `serve-cluster`: scores files on several machines.

fn main() {}
