//! What goes wrong when chance has it: one fault after the other, and several at a time.

use std::time::Duration;

use millpond_core::Role;

use crate::server::Power;
use crate::settings::{Profile, Step};
use crate::world::{Event, World};

impl World {
    /// Lets something go wrong, and plans the next.
    pub(crate) fn next_fault(&mut self) {
        let generation = self.operator.generation;
        let next = self.between(100, 6000);
        self.after(next, Event::Fault(generation));
        match self.random.u8(0..100) {
            0..26 => self.change_the_primary(),
            26..40 => self.crash_a_replica(),
            40..48 => self.for_a_while("replica frozen", 300, 9000, Step::Freeze, Step::Thaw),
            48..53 => self.for_a_while("replay paused", 300, 9000, Step::PauseReplay, Step::ResumeReplay),
            53..58 => {
                let delay = self.between(20, 4000);
                let usual = self.between(0, 3);
                let slow = move |node| Step::DelayReplay(node, delay);
                self.for_a_while("replay delayed", 500, 9000, slow, move |node| {
                    Step::DelayReplay(node, usual)
                });
            }
            58..64 => self.for_a_while("replica disconnected", 200, 9000, Step::Disconnect, Step::Follow),
            64..76 => self.cut_off(),
            76..82 => self.freeze_the_primary(),
            82..88 => self.fill_a_spare(),
            88..90 => self.exchange_names(),
            90..95 => {
                self.checker.fault("network slow");
                let slowest = self.between(50, 3000);
                let end = self.between(500, 9000);
                self.step(Step::SlowNetwork(slowest));
                self.later(end, Step::SlowNetwork(Duration::ZERO));
            }
            95..97 => self.all_replicas_down(),
            97 => self.restart_a_process(),
            _ => {
                self.checker.fault("mode primary-only");
                let process = self.random.usize(..self.settings.processes);
                let end = self.between(500, 5000);
                self.step(Step::PrimaryOnly(process, true));
                self.later(end, Step::PrimaryOnly(process, false));
            }
        }
    }

    fn replica(&mut self) -> Option<usize> {
        let replicas: Vec<_> = (0..self.settings.nodes)
            .filter(|node| self.servers[*node].role == Role::Replica && self.servers[*node].is_up())
            .collect();
        (!replicas.is_empty()).then(|| replicas[self.random.usize(..replicas.len())])
    }

    fn for_a_while(
        &mut self,
        name: &'static str,
        shortest: u64,
        longest: u64,
        begin: impl FnOnce(usize) -> Step,
        end: impl FnOnce(usize) -> Step,
    ) {
        let Some(node) = self.replica() else { return };
        self.checker.fault(name);
        let length = self.between(shortest, longest);
        self.step(begin(node));
        self.later(length, end(node));
    }

    fn crash_a_replica(&mut self) {
        let Some(node) = self.replica() else { return };
        self.checker.fault("replica killed");
        let (back, down) = (self.between(0, 3000), self.between(250, 8000));
        self.step(Step::Crash(node, back));
        self.later(down, Step::Start(node));
    }

    fn all_replicas_down(&mut self) {
        self.checker.fault("all replicas down");
        for node in 0..self.settings.nodes {
            if self.servers[node].role == Role::Replica {
                let (back, down) = (self.between(0, 500), self.between(1000, 8000));
                self.step(Step::Crash(node, back));
                self.later(down, Step::Start(node));
            }
        }
    }

    fn exchange_names(&mut self) {
        let one = self.random.usize(..self.settings.nodes);
        let other = self.random.usize(..self.settings.nodes);
        if one != other {
            self.checker.fault("names exchanged");
            self.step(Step::Exchange(one, other));
        }
    }

    fn cut_off(&mut self) {
        let process = self.random.usize(..self.settings.processes);
        let length = self.between(200, 15_000);
        let nodes: Vec<_> = match self.random.u8(0..4) {
            0 => {
                self.checker.fault("process cut off from all");
                (0..self.settings.names()).collect()
            }
            1 => {
                self.checker.fault("process cut off from the primary");
                vec![self.operator.primary]
            }
            _ => {
                self.checker.fault("process cut off from some");
                (0..self.settings.names()).filter(|_| self.random.u8(0..3) == 0).collect()
            }
        };
        for node in nodes {
            self.step(Step::Cut { process, node });
            self.later(length, Step::Mend { process, node });
        }
    }

    fn freeze_the_primary(&mut self) {
        if self.operator.busy_until > self.now {
            return;
        }
        self.checker.fault("primary frozen");
        let (node, length) = (self.operator.primary, self.between(300, 6000));
        self.operator.busy_until = self.now + length + Duration::from_secs(2);
        self.step(Step::Freeze(node));
        self.later(length, Step::Thaw(node));
    }

    /// Not beside a copy or a stranger: while the primary is down nothing tells who begins a copy from a replica that was promoted, or two
    /// strangers from what is left of the cluster.
    fn restart_a_process(&mut self) {
        if self.servers.iter().any(|server| server.is_spare && server.power != Power::Down) {
            return;
        }
        self.checker.fault("process restarted");
        let process = self.random.usize(..self.settings.processes);
        self.operator.no_spares_until = self.now + Duration::from_secs(30);
        self.step(Step::Restart(process));
    }

    fn fill_a_spare(&mut self) {
        if self.operator.no_spares_until > self.now {
            return;
        }
        let spares = self.settings.nodes..self.settings.names();
        if spares.is_empty() {
            return;
        }
        let (node, length) = (self.random.usize(spares), self.between(1000, 30_000));
        self.step(Step::Vanish(node));
        if self.random.bool() {
            self.checker.fault("restored copy");
            self.step(Step::Restore(node));
        } else {
            self.checker.fault("stranger");
            self.step(Step::Stranger(node));
        }
        self.later(length, Step::Vanish(node));
    }

    /// One at a time.
    fn change_the_primary(&mut self) {
        if self.operator.busy_until > self.now {
            return;
        }
        let old = self.operator.primary;
        let promotion = self.between(100, 5000);
        let back = promotion + self.between(1000, 9000);
        self.operator.busy_until = self.now + back + Duration::from_secs(3);
        match (self.random.u8(0..10), self.settings.profile) {
            (0..4, _) => {
                self.checker.fault("failover");
                self.step(Step::Crash(old, Duration::ZERO));
                self.later(promotion, Step::Promote(None));
                self.later(back, Step::Start(old));
            }
            (4..6, _) => {
                self.checker.fault("planned switchover");
                self.step(Step::Stop(old));
                self.later(promotion, Step::Promote(None));
                self.later(back, Step::Start(old));
            }
            (6..8, _) => {
                self.checker.fault("old primary back as a second writer");
                self.step(Step::Crash(old, Duration::ZERO));
                self.later(promotion, Step::Promote(None));
                let alone = promotion + self.between(0, 2000);
                self.later(alone, Step::StartAsPrimary(old));
                self.later(back.max(alone), Step::Follow(old));
            }
            // Beside a primary that lives no write is safe: whoever promotes has to see to that it does not.
            (8, Profile::Asynchronous) => {
                self.checker.fault("promotion beside a frozen primary");
                self.step(Step::Freeze(old));
                self.later(promotion, Step::Promote(None));
                let thawed = promotion + self.between(0, 2000);
                self.later(thawed, Step::Thaw(old));
                self.later(back.max(thawed), Step::Follow(old));
            }
            (9, Profile::Asynchronous) => {
                self.checker.fault("promotion beside a primary that lives");
                self.later(promotion, Step::Promote(None));
                self.later(back, Step::Follow(old));
            }
            _ => {
                self.checker.fault("primary restarted");
                self.step(Step::Crash(old, Duration::ZERO));
                let down = self.between(200, 4000);
                self.later(down, Step::Start(old));
            }
        }
    }
}
