//! paguro
fn main() {}
