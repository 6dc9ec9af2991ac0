//! What is worth trying on a machine.

use super::Setting;

const BATCH_SIZES: [u16; 6] = [1, 2, 4, 8, 16, 32];
const DELAYS_US: [u32; 4] = [0, 200, 1_000, 5_000];

/// Every way to share out `cores` in powers of two, and all cores to one session.
pub fn instances_and_threads(present: Setting, cores: usize) -> Vec<Setting> {
    let cores = u16::try_from(cores).unwrap_or(u16::MAX).max(1);
    let powers = || (0..16).map(|power| 1_u16 << power).filter(|power| *power <= cores);
    let mut pairs: Vec<_> = powers()
        .flat_map(|threads| powers().map(move |instances| (instances, threads)))
        .filter(|(instances, threads)| u32::from(*instances) * u32::from(*threads) <= u32::from(cores))
        .chain([(1, cores), (cores, 1)])
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let setting = |(instances, threads)| Setting { instances, threads, ..present };
    others(present, pairs.into_iter().map(setting))
}

/// Batches of other sizes.
pub fn batch_sizes(present: Setting) -> Vec<Setting> {
    others(present, BATCH_SIZES.map(|max_size| Setting { max_size, ..present }))
}

/// Other waits for a batch to fill.
pub fn delays(present: Setting) -> Vec<Setting> {
    others(present, DELAYS_US.map(|queue_delay_us| Setting { queue_delay_us, ..present }))
}

fn others(present: Setting, settings: impl IntoIterator<Item = Setting>) -> Vec<Setting> {
    settings.into_iter().filter(|setting| *setting != present).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared_out_and_never_given_twice() {
        let present = Setting { instances: 0, threads: 0, max_size: 8, queue_delay_us: 0 };
        let pairs = |cores| {
            let settings = instances_and_threads(present, cores);
            settings.iter().map(|setting| (setting.instances, setting.threads)).collect::<Vec<_>>()
        };
        assert_eq!(pairs(1), [(1, 1)]);
        assert_eq!(pairs(2), [(1, 1), (1, 2), (2, 1)]);
        assert_eq!(pairs(6), [(1, 1), (1, 2), (1, 4), (1, 6), (2, 1), (2, 2), (4, 1), (6, 1)]);
        assert!(batch_sizes(present).iter().all(|setting| setting.max_size != 8), "what is there isn't tried as new");
    }
}
