//! provisional
use serde::{Deserialize, Serialize};
/// S
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// r
    pub rate_ppm: Option<u32>,
    /// t
    pub tried: u32,
    /// c
    pub circuit: Circuit,
}
/// C
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Circuit {
    /// c
    Closed,
    /// o
    Open,
    /// h
    HalfOpen,
}
pub(crate) fn by_success_rate(standings: &[Option<&Standing>], _seed: u64) -> Vec<usize> {
    (0..standings.len()).collect()
}
pub(crate) fn healthiest_first(standings: &[Option<&Standing>]) -> Vec<usize> {
    (0..standings.len()).collect()
}
