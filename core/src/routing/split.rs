//! Splits of volume: a stable draw, in which a change of one share moves no more than it must.
//!
//! Each target of a split draws a number from the identifier that the split sticks to; the largest, weighed by its
//! share, wins (weighted rendezvous hashing: with a uniform draw u and a share w, the least −log(u) / w wins with
//! probability w over the sum of all shares). No target's draw depends on another's share: raising a share moves payments
//! to that target alone, lowering it moves its own alone, and the order of the targets decides nothing.

use std::cmp::Ordering;

use sha2::{Digest as _, Sha256};

use super::fixed::negative_log2;

/// The targets' places, by their weighed draws: the winner first. Those without a share come last, in their order.
///
/// `salt` keeps the draws of two splits apart; `id` is what the split sticks to.
pub(super) fn order<'t>(
    salt: &str,
    id: &[u8],
    shares: impl Iterator<Item = (&'t str, Option<&'t str>, u32)>,
) -> Vec<usize> {
    let mut drawn: Vec<(usize, u64, u32)> = shares
        .enumerate()
        .map(|(place, (connector, account, share))| {
            (place, negative_log2(draw(salt, id, connector, account)), share)
        })
        .collect();
    drawn.sort_by(|one, other| match (one.2, other.2) {
        (0, 0) => one.0.cmp(&other.0),
        (0, _) => Ordering::Greater,
        (_, 0) => Ordering::Less,
        // one.log / one.share against other.log / other.share, without a division.
        (share, others) => {
            let (one_weighed, other_weighed) = (
                u128::from(one.1) * u128::from(others),
                u128::from(other.1) * u128::from(share),
            );
            one_weighed.cmp(&other_weighed).then(one.0.cmp(&other.0))
        }
    });
    drawn.into_iter().map(|(place, ..)| place).collect()
}

/// A number above 0 that is as good as random, and the same for ever.
fn draw(salt: &str, id: &[u8], connector: &str, account: Option<&str>) -> u64 {
    let mut hash = Sha256::new();
    for part in [
        salt.as_bytes(),
        id,
        connector.as_bytes(),
        account.unwrap_or_default().as_bytes(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let (first, _) = digest.split_at(8);
    u64::from_be_bytes(first.try_into().unwrap_or([1; 8])).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: u32 = 100_000;

    fn winner(shares: &[(&'static str, u32)], id: u32) -> &'static str {
        let parts = shares.iter().map(|(name, share)| (*name, None, *share));
        shares[order("salt", &id.to_be_bytes(), parts)[0]].0
    }

    fn counted(shares: &[(&'static str, u32)], name: &str) -> u32 {
        (0..IDS).filter(|id| winner(shares, *id) == name).count() as u32
    }

    #[test]
    fn shares_are_kept_within_one_percent() {
        for shares in [
            vec![("acme", 70), ("stripe", 30)],
            vec![("acme", 1), ("stripe", 1), ("bank", 2)],
            vec![("acme", 5), ("stripe", 95), ("bank", 0)],
        ] {
            let sum: u32 = shares.iter().map(|(_, share)| share).sum();
            for (name, share) in &shares {
                let wanted = IDS / sum * share;
                let had = counted(&shares, name);
                assert!(wanted.abs_diff(had) <= IDS / 100, "{name}: {had} of {wanted}");
            }
        }
    }

    #[test]
    fn a_change_of_one_share_moves_no_more_than_it_must() {
        let before = [("acme", 40), ("stripe", 40), ("bank", 20)];
        let raised = [("acme", 40), ("stripe", 40), ("bank", 40)];
        for id in 0..IDS {
            let (old, new) = (winner(&before, id), winner(&raised, id));
            assert!(old == new || new == "bank", "{id} went from {old} to {new}");
        }
        let gone = [("stripe", 40), ("bank", 20)];
        for id in 0..IDS {
            let (old, new) = (winner(&before, id), winner(&gone, id));
            assert!(old == new || old == "acme", "{id} went from {old} to {new}");
        }
    }

    #[test]
    fn the_order_of_the_targets_decides_nothing() {
        let (one, other) = ([("acme", 7), ("bank", 3)], [("bank", 3), ("acme", 7)]);
        assert!((0..IDS).all(|id| winner(&one, id) == winner(&other, id)));
    }

    #[test]
    fn the_draw_never_changes() {
        // By Python's hashlib.
        assert_eq!(draw("salt", b"id", "acme", Some("eu")), 7_724_060_842_600_481_534);
    }
}
