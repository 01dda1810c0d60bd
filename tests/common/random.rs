//! Chance that can be repeated: everything follows from one seed.

/// SplitMix64: a few lines, good enough to choose by, and the same on every machine.
pub struct Random(u64);

impl Random {
    /// Begins at the seed that the environment variable `PARLOR_SEED` names, or else at a new one. The seed is
    /// printed, so that a failure says how to repeat it.
    pub fn from_environment() -> Random {
        let seed = match std::env::var("PARLOR_SEED") {
            Ok(seed) => seed.parse().expect("PARLOR_SEED is a number"),
            Err(_) => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
                now.as_nanos() as u64
            }
        };
        println!("to repeat this: PARLOR_SEED={seed}");
        Random(seed)
    }

    pub fn from_seed(seed: u64) -> Random {
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below the end, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn one_of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}
