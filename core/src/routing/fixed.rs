//! Arithmetic on fractions without floats, so that a decision is the same on every machine.

/// Fractional bits of a logarithm.
pub(super) const LOG_BITS: u32 = 24;

/// −log₂(x / 2⁶⁴) of a number above 0, with [`LOG_BITS`] fractional bits: 0 at 2⁶⁴, 64 · 2²⁴ at 1.
///
/// The mantissa is squared once for each bit: each time it reaches 2, the bit is 1 and it is halved (Knuth, The Art of
/// Computer Programming, volume 1, section 1.2.2, exercise 25).
pub(super) fn negative_log2(x: u64) -> u64 {
    let whole = u64::from(x.ilog2());
    // From 1 to 2, with 63 fractional bits.
    let mut mantissa = x << x.leading_zeros();
    let mut fraction = 0_u64;
    for _ in 0..LOG_BITS {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        fraction <<= 1;
        if square >> 64 == 0 {
            mantissa = square as u64;
        } else {
            fraction |= 1;
            mantissa = (square >> 1) as u64;
        }
    }
    (64 << LOG_BITS) - ((whole << LOG_BITS) | fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_exact_and_the_rest_is_between() {
        for power in 0..64_u64 {
            assert_eq!(negative_log2(1 << power), (64 - power) << LOG_BITS);
        }
        // log2(3) = 1.584962500721156
        let three = (64 << LOG_BITS) - negative_log2(3);
        assert_eq!(three, 26_591_258); // 1.584962500721156 · 2^24 = 26591258.2
        let sample: Vec<u64> = (1..10_000)
            .chain((1..1_000).map(|step| step * (u64::MAX / 1_000)))
            .collect();
        assert!(
            sample
                .windows(2)
                .all(|pair| negative_log2(pair[0]) >= negative_log2(pair[1]))
        );
    }
}
