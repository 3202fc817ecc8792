//! Twins of the ports for tests, and the contract suites.

pub mod docker_contract;
pub mod fake_docker;
