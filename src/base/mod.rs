//! The ground floor: values that both wings of the house share, and that know nothing of it.

pub mod argument;
pub mod decision;
pub mod device;
pub mod diagnostic;
pub mod digest;
pub mod disk;
pub mod faults;
pub mod named;
pub mod placeholders;
pub mod precision;
pub mod predicate;
pub mod reward;
pub mod rng;
pub mod schedule;
pub mod span;
pub mod suggest;
pub mod units;
pub mod work;
