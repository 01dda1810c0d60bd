//! What the system tells of a process: CPU time, memory. And on which CPUs the two sides run.
//!
//! All of it is read from `/proc`; where that is not there, the figures are missing and nothing else.

use std::fs;
use std::process::{Command, Stdio};

/// A process to be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
    /// Resident and the process's own: heap and stacks, without files and shared memory.
    pub own: u64,
}

impl Process {
    /// CPU time, user and system, of all threads so far, in nanoseconds. `None` if it is gone.
    pub fn cpu(self) -> Option<u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).ok()?;
        tasks.filter_map(Result::ok).try_fold(0, |sum, task| {
            let schedstat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            Some(sum + schedstat.split(' ').next()?.parse::<u64>().ok()?)
        })
    }

    pub fn memory(self) -> Option<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let kilobytes = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
        };
        Some(Memory {
            resident: kilobytes("VmRSS:")?,
            peak: kilobytes("VmHWM:")?,
            own: kilobytes("RssAnon:")?,
        })
    }
}

/// All processes that do a server's work: its own, or those of its nodes and of the engine that joins them.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Empty if it is not known.
    pub servers: Vec<Process>,
    pub engine: Option<Process>,
    /// An engine works for them that is not seen here: on another host, or in a process that is not known.
    pub has_unseen: bool,
}

impl Watched {
    /// One server, if its process is known.
    pub fn one(server: Option<Process>) -> Watched {
        Watched { servers: server.into_iter().collect(), ..Watched::default() }
    }

    /// CPU time of all that is known, in nanoseconds.
    pub fn cpu(&self) -> Option<u64> {
        let servers = self.sum(Process::cpu, |sum, cpu| sum + cpu)?;
        Some(servers + self.engine.map_or(Some(0), Process::cpu)?)
    }

    /// Memory of the server, or of all nodes together.
    pub fn memory(&self) -> Option<Memory> {
        self.sum(Process::memory, |sum, memory| Memory {
            resident: sum.resident + memory.resident,
            peak: sum.peak + memory.peak,
            own: sum.own + memory.own,
        })
    }

    /// `None` if none is known, or one of them is gone.
    fn sum<T: Default>(&self, of: impl Fn(Process) -> Option<T>, add: impl Fn(T, T) -> T) -> Option<T> {
        self.servers.first()?;
        self.servers.iter().try_fold(T::default(), |sum, process| Some(add(sum, of(*process)?)))
    }
}

/// CPU time that everything on this host has used so far, in nanoseconds: to see whether something else ran beside.
pub fn host_cpu() -> Option<u64> {
    const NANOSECONDS_PER_TICK: u64 = 10_000_000;
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let times: Vec<u64> =
        stat.lines().next()?.split_whitespace().filter_map(|time| time.parse().ok()).collect();
    // User, nice, system, idle, waiting for disks, interrupts, soft interrupts, stolen by other virtual machines.
    let [user, nice, system, _, _, interrupts, soft, stolen, ..] = times[..] else { return None };
    Some((user + nice + system + interrupts + soft + stolen) * NANOSECONDS_PER_TICK)
}

/// Which CPU the generator runs on and which the server. With a single CPU both share it, and with `None` nothing is
/// pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus {
    pub generator: usize,
    pub server: usize,
}

impl Cpus {
    /// The first and the last CPU that this process may use; `None` where the tools to pin with are not there.
    pub fn choose() -> Option<Cpus> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
        let generator = list.split(['-', ',']).next()?.parse().ok()?;
        let server = list.rsplit(['-', ',']).next()?.parse().ok()?;
        let there = ["taskset", "setpriv"].iter().all(|tool| quietly(Command::new(tool).arg("--version")));
        there.then_some(Cpus { generator, server })
    }

    /// Those for several servers: all but the generator's, as `taskset` takes them.
    pub fn all_servers(self) -> String {
        match self.server > self.generator {
            true => format!("{}-{}", self.generator + 1, self.server),
            false => self.server.to_string(),
        }
    }

    /// Pins this process.
    pub fn pin_self(self) -> bool {
        let (cpu, pid) = (self.generator.to_string(), std::process::id().to_string());
        quietly(Command::new("taskset").args(["-c", "-p", &cpu, &pid]))
    }
}

/// The calling thread runs only when nothing else on its CPU wants to. Whether that could be arranged.
pub fn yield_to_others() -> bool {
    let Ok(thread) = fs::read_link("/proc/thread-self") else { return false };
    let Some(number) = thread.file_name() else { return false };
    quietly(Command::new("chrt").args(["--idle", "--pid", "0"]).arg(number))
}

/// Raises the number of descriptors that this process and those it starts may have to what the system allows, and says
/// how many that is.
pub fn raise_descriptors() -> usize {
    let hard = descriptor_limits().map_or(1024, |(_, hard)| hard);
    let (pid, limit) = (std::process::id().to_string(), format!("--nofile={hard}:{hard}"));
    quietly(Command::new("prlimit").args(["--pid", &pid, &limit]));
    descriptor_limits().map_or(1024, |(soft, _)| soft)
}

/// The soft and the hard limit of descriptors.
fn descriptor_limits() -> Option<(usize, usize)> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut words = line.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn quietly(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
