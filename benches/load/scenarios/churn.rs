//! `churn`: connect, log in, join, send, leave, disconnect; again and again, each step after the reply to the one
//! before.

use std::time::Duration;

use super::Site;
use crate::dialects::{Dialect, Frame};
use crate::fault::Fault;
use crate::measure::{CYCLE, Figure, Meter, Outcome};
use crate::message::{Message, Texts};
use crate::names::Names;
use crate::swarm::{Clients, Handler};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Connect,
    LogIn,
    Join,
    /// What is still to come: the reply, and the message itself.
    Send {
        reply: bool,
        message: bool,
    },
    Leave,
}

struct Cycle {
    /// Of all cycles the how-manieth; it is the client's name.
    number: u32,
    step: Step,
    began: u64,
}

struct Churn<'d> {
    dialect: &'d dyn Dialect,
    names: Names,
    texts: Texts,
    /// By connection.
    cycles: Vec<Option<Cycle>>,
    under_way: usize,
    /// Those of them whom the server may not have accepted yet.
    entering: usize,
    /// Why no more cycles are begun.
    refusal: Option<Fault>,
    meter: Meter,
}

/// `clients` at any time. Where no more connections can be made, it ends early, with what was measured until then.
pub fn churn(site: &Site<'_>, clients: usize) -> Result<Outcome, Fault> {
    let mut swarm = site.swarm()?;
    let begin = swarm.now();
    let mut churn = Churn {
        dialect: site.dialect,
        names: swarm.names,
        texts: Texts::new(site.text),
        cycles: Vec::new(),
        under_way: 0,
        entering: 0,
        refusal: None,
        meter: Meter::new(site.watched, begin, site.warm_up()),
    };
    let mut number = 0;
    let mut last = begin;
    while swarm.now() - begin < site.duration() && churn.refusal.is_none() {
        while churn.under_way < clients && churn.entering < site.dialect.connect_at_once() {
            match swarm.connect(None) {
                Ok(id) => churn.begin(id, Cycle { number, step: Step::Connect, began: swarm.now() }),
                Err(fault @ Fault::OutOfPorts(_)) => {
                    churn.refusal = Some(fault);
                    break;
                }
                Err(fault) => return Err(fault),
            }
            number += 1;
        }
        if swarm.turn(Some(Duration::from_millis(50)), &mut churn)? {
            last = swarm.now();
        } else if swarm.now() - last > site.patience() {
            return Err(churn.stuck());
        }
        site.tick(&mut churn.meter, &swarm);
    }
    let measured = churn.meter.stop(swarm.now(), swarm.waited());
    let (cycles, seconds) = (churn.meter.units(), (swarm.now() - begin) as f64 / 1e9);
    // How long a visit takes depends on how many the server's queue of connections allows at once.
    let mut outcome = Outcome::of_load(CYCLE, &measured, churn.meter).with_latency_for_information();
    if site.endpoint.via.is_encrypted() {
        let share = swarm.resumed as f64 / cycles.max(1) as f64 * 100.0;
        outcome.figures.push(Figure::neither("resumed", "%", share.min(100.0)));
    }
    let Some(refusal) = churn.refusal else { return Ok(outcome) };
    if measured.units == 0 {
        return Err(refusal);
    }
    let note = match &refusal {
        Fault::OutOfPorts(_) => format!(
            "bounded by the generator's ports, not by the server: each stays taken for a while (TIME_WAIT) after its \
             connection, and after {cycles} cycles in {seconds:.1} s none was left ({refusal})"
        ),
        _ => format!("ended after {cycles} cycles in {seconds:.1} s: {refusal}"),
    };
    Ok(outcome.noting(Some(note)))
}

impl Churn<'_> {
    fn begin(&mut self, id: usize, cycle: Cycle) {
        if self.cycles.len() <= id {
            self.cycles.resize_with(id + 1, || None);
        }
        self.cycles[id] = Some(cycle);
        self.under_way += 1;
        self.entering += 1;
    }

    fn stuck(&self) -> Fault {
        let steps =
            self.cycles.iter().flatten().take(1).map(|cycle| format!("{:?}", cycle.step)).collect::<String>();
        Fault::Missing(format!("{} clients wait in vain, the first for the end of {steps}", self.under_way))
    }

    /// Room and text of this cycle's message. The rooms are few, but nobody is in one with another.
    fn room(cycle: &Cycle) -> u32 {
        cycle.number % 10_000
    }

    /// One more thing has come that the cycle waited for: goes on to the next step where that was all.
    fn advance(&mut self, clients: &mut Clients, id: usize, now: u64) {
        let Some(cycle) = &mut self.cycles[id] else { return };
        let room = self.names.room(Self::room(cycle));
        let out = clients.out(id);
        cycle.step = match cycle.step {
            Step::Connect => {
                self.dialect.login(self.names.client(cycle.number), out);
                Step::LogIn
            }
            Step::LogIn => {
                self.entering -= 1;
                self.dialect.join(room, out);
                Step::Join
            }
            Step::Join => {
                let text = self.texts.write(Message { sender: cycle.number, number: 0 });
                self.dialect.send(self.names.client(cycle.number), room, text, out);
                Step::Send { reply: self.dialect.answers_sends(), message: self.dialect.echoes() }
            }
            step @ Step::Send { .. } => step,
            Step::Leave => {
                self.meter.count(now - cycle.began);
                self.under_way -= 1;
                self.cycles[id] = None;
                return clients.close(id);
            }
        };
        if cycle.step == (Step::Send { reply: false, message: false }) {
            self.dialect.leave(room, out);
            cycle.step = Step::Leave;
        }
    }
}

impl Handler for Churn<'_> {
    fn connected(&mut self, clients: &mut Clients, id: usize) {
        self.advance(clients, id, 0);
    }

    fn frame(
        &mut self,
        clients: &mut Clients,
        id: usize,
        frame: Frame<'_>,
        raw: &[u8],
        now: u64,
    ) -> Result<(), Fault> {
        let garbled =
            || Fault::Garbled(format!("in the middle of a cycle: {}", String::from_utf8_lossy(raw)));
        let cycle = self.cycles.get_mut(id).and_then(Option::as_mut).ok_or_else(garbled)?;
        match (&frame, &mut cycle.step) {
            (Frame::Other, _) => return Ok(()),
            (Frame::Done(_), Step::Send { reply, .. }) if *reply => *reply = false,
            (Frame::Done(_), Step::LogIn | Step::Join | Step::Leave) => {}
            (Frame::Delivery { text, .. }, Step::Send { message, .. }) if *message => {
                let sent = Message { sender: cycle.number, number: 0 };
                if self.texts.read(text) != Some(sent) {
                    return Err(garbled());
                }
                *message = false;
            }
            _ => return Err(garbled()),
        }
        self.advance(clients, id, now);
        Ok(())
    }

    /// Some cycles are under way; they are not waited for.
    fn refused(&mut self, _: &mut Clients, id: usize, why: &str) -> Result<(), Fault> {
        if let Some(cycle) = self.cycles.get_mut(id) {
            *cycle = None;
        }
        self.refusal = Some(Fault::Full(why.to_owned()));
        Ok(())
    }
}
