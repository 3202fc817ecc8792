//! Twins of the ports for tests, and the contract suites.
//!
//! A twin keeps its port's contract more strictly than any real adapter, so that a use case that passes on it
//! relies on nothing else. The faulty twins wrap any adapter and fail as they are told; [`calls`] numbers the
//! calls of all of them in one sequence, for tests that stop a run at each of them.

pub mod calls;
pub mod docker_contract;
pub mod exec_contract;
pub mod fake_docker;
pub mod faulty_store;
pub mod memory_store;
pub mod store_contract;
pub mod trial_contract;
