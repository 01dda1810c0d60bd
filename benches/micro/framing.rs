//! Bytes become lines.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use parlor::lines::{Found, Lines};

use super::made_up::send;

const LIMIT: usize = 64 << 10;

/// Takes all lines that are there; how many.
fn take_all(lines: &mut Lines, mut fresh: &[u8]) -> usize {
    let mut count = 0;
    while let Some(found) = lines.next(&mut fresh, LIMIT) {
        black_box(&found);
        count += usize::from(matches!(found, Found::Line(_)));
    }
    count
}

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("framing");
    let line = send(7);

    for (name, piece_bytes) in [("1 byte", 1), ("64 bytes", 64), ("1500 bytes", 1500), ("64 KiB", 64 << 10)] {
        // At least one read, and whole lines in all.
        let count = piece_bytes / line.len() + 1;
        let input = line.repeat(count);
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(BenchmarkId::new("lines, in reads of", name), |bencher| {
            let mut lines = Lines::default();
            bencher.iter(|| {
                let found = input.as_bytes().chunks(piece_bytes).map(|piece| take_all(&mut lines, piece));
                assert_eq!(found.sum::<usize>(), count);
            });
        });
    }

    let too_long = "x".repeat(2 * LIMIT) + "\n";
    group.throughput(Throughput::Bytes(too_long.len() as u64));
    group.bench_function("a line of twice the limit, skipped in reads of 1500 bytes", |bencher| {
        let mut lines = Lines::default();
        bencher.iter(|| {
            too_long.as_bytes().chunks(1500).map(|piece| take_all(&mut lines, piece)).sum::<usize>()
        });
    });
}
