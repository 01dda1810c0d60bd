//! The queue of one client, over a transport that takes as little as it likes.

use super::*;
use crate::protocol::DisconnectReason;
use crate::transport::Received;
use proptest::prelude::*;

/// Takes as many bytes at once as the list says, and then no more.
#[derive(Default)]
struct Narrow {
    takes: Vec<usize>,
    taken: Vec<u8>,
}

impl Transport for Narrow {
    fn receive(&mut self, _buffer: &mut [u8]) -> io::Result<Received> {
        Ok(Received::Nothing)
    }

    fn send(&mut self, bytes: &[u8], _scratch: &mut Vec<u8>) -> io::Result<Sent> {
        assert!(bytes.ends_with(b"\n"));
        let Some(takes) = self.takes.pop() else { return Ok(Sent::Blocked) };
        let taken = takes.min(bytes.len());
        self.taken.extend_from_slice(&bytes[..taken]);
        Ok(Sent::Bytes(taken))
    }

    fn finish(&mut self, _reason: Option<DisconnectReason>) -> io::Result<bool> {
        Ok(true)
    }
}

fn write(outbox: &mut Outbox, transport: &mut Narrow) -> Written {
    outbox.write_to(transport, &mut Scratch::default()).unwrap()
}

fn line(length: usize) -> Vec<u8> {
    let mut line = vec![b'x'; length];
    line.push(b'\n');
    line
}

/// A batch of one line, and the outbox of a member that has to get it.
fn waiting(memory: &Memory, line: &[u8]) -> Outbox {
    let batch = Batch::new(memory);
    batch.append(|out| out.extend_from_slice(line));
    let mut outbox = Outbox::new(memory);
    outbox.range(&batch, 0, batch.end(), false);
    outbox
}

proptest! {
    /// However little is taken at once, all goes out in order, and the sums are right all the way.
    #[test]
    fn all_goes_out(
        lines in proptest::collection::vec((0usize..3000, 0u8..3), 0..60),
        takes in proptest::collection::vec(1usize..9000, 0..80),
    ) {
        let memory = Memory::default();
        let batch = Batch::new(&memory);
        let (mut outbox, mut expected) = (Outbox::new(&memory), Vec::new());
        for (length, kind) in lines {
            let line = line(length);
            expected.extend_from_slice(&line);
            if kind == 0 {
                outbox.line(|out| out.extend_from_slice(&line));
            } else {
                outbox.got = batch.end();
                batch.append(|out| out.extend_from_slice(&line));
                outbox.range(&batch, 0, batch.end(), kind == 1);
            }
        }
        let mut transport = Narrow { takes, ..Narrow::default() };
        write(&mut outbox, &mut transport);
        prop_assert_eq!(outbox.len(), expected.len() - transport.taken.len());
        outbox.check(&mut Default::default());
        transport.takes = vec![usize::MAX; 200];
        write(&mut outbox, &mut transport);
        prop_assert!(transport.taken == expected && outbox.is_empty());
        drop(batch);
        outbox.reset();
        prop_assert_eq!(memory.bytes(), 0);
    }
}

#[test]
fn the_rest_of_a_line_does_not_keep_the_batch_it_is_from() {
    let memory = Memory::default();
    let mut outbox = waiting(&memory, &b"one line\n".repeat(5000));
    write(&mut outbox, &mut Narrow { takes: vec![4], ..Narrow::default() });
    outbox.cut();
    assert_eq!(outbox.len(), "line\n".len());
    assert!(memory.bytes() < 2 * 1040, "{} bytes", memory.bytes());
    let mut transport = Narrow { takes: vec![usize::MAX], ..Narrow::default() };
    write(&mut outbox, &mut transport);
    assert_eq!((&transport.taken[..], outbox.len()), (&b"line\n"[..], 0));
}

#[test]
fn nothing_is_left_of_a_line_that_has_not_begun() {
    let memory = Memory::default();
    let mut outbox = waiting(&memory, b"one line\ntwo\n");
    write(&mut outbox, &mut Narrow { takes: vec![9], ..Narrow::default() });
    outbox.cut();
    assert!(outbox.is_empty());
}

#[test]
fn the_last_who_waits_for_a_batch_does_not_keep_all_of_it() {
    let memory = Memory::default();
    let mut outbox = waiting(&memory, &line(60_000));
    write(&mut outbox, &mut Narrow { takes: vec![59_000], ..Narrow::default() });
    assert_eq!(outbox.len(), 1001);
    assert!(memory.bytes() < 5000, "{} bytes", memory.bytes());
}

#[test]
fn a_rest_is_not_copied_while_others_share_the_batch() {
    let memory = Memory::default();
    let batch = Batch::new(&memory);
    batch.append(|out| out.extend_from_slice(&line(60_000)));
    let mut outboxes: Vec<Outbox> = (0..200).map(|_| Outbox::new(&memory)).collect();
    for outbox in &mut outboxes {
        outbox.range(&batch, 0, batch.end(), false);
        write(outbox, &mut Narrow { takes: vec![59_000], ..Narrow::default() });
    }
    drop(batch);
    assert!(memory.bytes() < 60_000 * 2 + 200 * 2000, "{} bytes", memory.bytes());
}

#[test]
fn ranges_that_touch_are_one_piece() {
    let memory = Memory::default();
    let batch = Batch::new(&memory);
    let mut outbox = Outbox::new(&memory);
    for _ in 0..1000 {
        let base = batch.end();
        batch.append(|out| out.extend_from_slice(b"line\n"));
        outbox.range(&batch, base, batch.end(), false);
        outbox.got = 0;
    }
    assert_eq!((outbox.len(), outbox.pieces.len()), (5000, 1));
}

#[test]
fn one_line_is_not_many() {
    let memory = Memory::default();
    let batch = Batch::new(&memory);
    let mut outbox = Outbox::new(&memory);
    for (own, many) in [(false, false), (true, false), (false, true)] {
        batch.append(|out| out.extend_from_slice(b"line\n"));
        outbox.range(&batch, 0, batch.end(), own);
        outbox.line(|out| out.extend_from_slice(b"a reply\n"));
        assert_eq!(outbox.has_lines_of_others(), many);
    }
}

#[test]
fn an_outbox_that_is_used_again_has_forgotten_everything() {
    let memory = Memory::default();
    let mut outbox = waiting(&memory, &line(3000));
    write(&mut outbox, &mut Narrow { takes: vec![2], ..Narrow::default() });
    outbox.reset();
    assert!(outbox.is_empty() && outbox.got == 0 && !outbox.is_scheduled && memory.bytes() == 0);
    outbox.line(|out| out.extend_from_slice(b"hello\n"));
    let mut transport = Narrow { takes: vec![usize::MAX], ..Narrow::default() };
    write(&mut outbox, &mut transport);
    assert_eq!(transport.taken, b"hello\n");
}
