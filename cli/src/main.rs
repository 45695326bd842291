//! Tool of cairnlog.

fn main() {}
