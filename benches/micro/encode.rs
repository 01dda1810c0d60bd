//! What the server says becomes bytes.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use parlor::protocol::{DisconnectReason, Error, disconnect, error, get_message, response};

use super::made_up::send;

pub fn bench(criterion: &mut Criterion) {
    let request = send(7);
    let echo = request.trim_end();
    let ascii = format!("\"{}\"", "0123456789abcdef".repeat(4));
    let cyrillic = format!("\"{}\"", &"слово за ".repeat(4));
    let line_ends = format!("\"{}\"", "a line\u{2028}".repeat(7));
    let message = |text: &str, out: &mut Vec<u8>| get_message(out, b"\"room-7\"", b"Bob", text);
    type Write<'a> = &'a dyn Fn(&mut Vec<u8>);
    let replies: [(&str, Write); 6] = [
        ("RESPONSE", &|out| response(out, black_box(echo))),
        ("ERROR", &|out| error(out, black_box(echo), Error::RoomNotFound)),
        ("ERROR, a last line", &|out| disconnect(out, black_box(DisconnectReason::TooSlow))),
        ("GET MESSAGE, 64 bytes of text", &|out| message(black_box(&ascii), out)),
        ("GET MESSAGE, 64 bytes of Cyrillic", &|out| message(black_box(&cyrillic), out)),
        ("GET MESSAGE, 64 bytes with line ends of Unicode", &|out| message(black_box(&line_ends), out)),
    ];

    let mut group = criterion.benchmark_group("encode");
    for (name, write) in replies {
        let mut out = Vec::new();
        write(&mut out);
        group.throughput(Throughput::Bytes(out.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                out.clear();
                write(&mut out);
                black_box(out.len())
            });
        });
    }
}
