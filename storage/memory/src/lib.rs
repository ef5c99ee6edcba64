//! paymux's reference store, in memory.
