//! Options as a seed chooses them: mostly roomy, at times so tight that hardly anything goes.

use std::time::Duration;

use parlor::Options;

use crate::common::random::Random;

pub fn random(random: &mut Random) -> Options {
    let mut any = |choices: &[usize]| choices[random.below(choices.len())];
    let options = Options {
        max_clients: any(&[3, 12, 10_000, 10_000]),
        max_clients_per_ip: any(&[0, 0, 0, 1, 4]),
        rate: any(&[0, 0, 0, 0, 1, 20, 3000]),
        max_line: any(&[1, 60, 200, 1000, 1000, 4096, 65536]),
        max_rooms: any(&[1, 2, 5, 128]),
        max_pending: any(&[1, 300, 3000, 30_000, 30_000, 1 << 20]),
        max_memory: any(&[1, 3000, 30_000, 300_000, 256 << 20, 256 << 20, 256 << 20, 256 << 20]),
        members_only: any(&[0, 1]) == 1,
        idle_timeout: Duration::from_secs(any(&[0, 0, 1, 10, 100]) as u64),
        drain: Duration::from_secs(any(&[0, 1, 5]) as u64),
        ..Options::default()
    };
    // Only transports that ping look at this.
    let keepalive = if cfg!(feature = "web") { any(&[0, 2, 60, 60]) } else { 60 };
    Options { keepalive: Duration::from_secs(keepalive as u64), ..options }
}
