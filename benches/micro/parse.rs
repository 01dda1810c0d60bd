//! A line becomes a request, or an error.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use parlor::protocol::parse;

pub fn bench(criterion: &mut Criterion) {
    let send = |text: &str| format!(r#"{{"action":"SEND MESSAGE","room_id":"room-7","text":"{text}"}}"#);
    let sixty_four = "0123456789abcdef".repeat(4);
    let requests = [
        ("LOGIN NICK", true, r#"{"action":"LOGIN NICK","nickname":"Bob"}"#.into()),
        ("JOIN ROOM", true, r#"{"action":"JOIN ROOM","room_id":"room-7"}"#.into()),
        ("LEFT ROOM, an integer", true, r#"{"action":"LEFT ROOM","room_id":7}"#.into()),
        ("SEND MESSAGE, 64 bytes of text", true, send(&sixty_four)),
        ("SEND MESSAGE, 4 KiB of text", true, send(&sixty_four.repeat(64))),
        ("SEND MESSAGE, 64 bytes of Cyrillic", true, send(&"слово за ".repeat(4))),
        ("SEND MESSAGE, 64 bytes with escapes", true, send(&r#"\"hm\"\n"#.repeat(8))),
        (
            "SEND MESSAGE, spaces and an id of the client's own",
            true,
            format!(r#"{{ "id": 123, "action": "SEND MESSAGE", "room_id": 7, "text": "{sixty_four}" }}"#),
        ),
        ("no JSON", false, send(&sixty_four).replace('}', "")),
        ("an unknown action", false, r#"{"action":"SHOUT","room_id":"room-7"}"#.into()),
    ];

    let mut group = criterion.benchmark_group("parse");
    for (name, is_valid, line) in requests {
        assert_eq!(parse(line.as_bytes()).is_some_and(|line| line.request.is_ok()), is_valid, "{line}");
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), line.as_bytes(), |bencher, line| {
            bencher.iter(|| black_box(parse(black_box(line))).is_some());
        });
    }
}
