use crate::clock::Clock;
use crate::{Member, Result};
use std::sync::atomic::{AtomicUsize, Ordering};

const MESSAGE_SIZE: usize = 1024;

/// A Group is a group as its first and its last member see it: the creator has
/// added all others in one commit with a path, and nobody else has ever committed.
pub struct Group<M> {
    suite: u16,
    creator: M,
    last: M,
    /// A creator that has added all but the last member.
    before: M,
}

impl<M: Member> Group<M> {
    pub fn new(suite: u16, size: usize) -> Result<Self> {
        let mut before = newcomer::<M>(suite)?;
        before.create()?;
        if size > 2 {
            let (key_packages, _) = others::<M>(suite, size - 2)?;
            before.add(&key_packages, true)?;
            before.merge()?;
        }
        let mut creator = newcomer::<M>(suite)?;
        creator.create()?;
        let (key_packages, mut last) = others::<M>(suite, size - 1)?;
        let welcome = creator.add(&key_packages, true)?.welcome.ok_or("no Welcome")?;
        creator.merge()?;
        last.join(&welcome)?;
        Ok(Group { suite, creator, last, before })
    }

    /// Executes an operation that many times.
    pub fn run(&mut self, operation: &str, times: usize, clock: &mut Clock) -> Result<()> {
        match operation {
            "handshake" => self.handshake(times, clock),
            "create" => self.create(times, clock),
            "process" => self.process(times, clock),
            "add" => self.add(times, clock),
            "join" => self.join(times, clock),
            "protect" => self.protect(times, clock),
            "unprotect" => self.unprotect(times, clock),
            other => Err(format!("no operation {other}").into()),
        }
    }

    fn handshake(&mut self, times: usize, clock: &mut Clock) -> Result<()> {
        let mut pairs = Vec::new();
        for _ in 0..times {
            pairs.push((newcomer::<M>(self.suite)?, newcomer::<M>(self.suite)?));
        }
        for (initiator, responder) in &mut pairs {
            clock.measure(|| -> Result<()> {
                let key_package = initiator.key_package()?;
                responder.create()?;
                let welcome = responder.add(&[key_package], false)?.welcome.ok_or("no Welcome")?;
                responder.merge()?;
                initiator.join(&welcome)
            })?;
        }
        Ok(())
    }

    fn create(&mut self, times: usize, clock: &mut Clock) -> Result<()> {
        for _ in 0..times {
            let commit = clock.measure(|| {
                let commit = self.creator.update()?;
                self.creator.merge()?;
                Result::Ok(commit)
            })?;
            self.last.process(&commit.message)?;
        }
        Ok(())
    }

    fn process(&mut self, times: usize, clock: &mut Clock) -> Result<()> {
        for _ in 0..times {
            let commit = self.creator.update()?;
            self.creator.merge()?;
            clock.measure(|| self.last.process(&commit.message))?;
        }
        Ok(())
    }

    fn add(&mut self, times: usize, clock: &mut Clock) -> Result<()> {
        let (key_packages, _) = others::<M>(self.suite, 1)?;
        for _ in 0..times {
            clock.measure(|| self.before.add(&key_packages, false))?;
            self.before.drop_commit()?;
        }
        Ok(())
    }

    fn join(&mut self, times: usize, clock: &mut Clock) -> Result<()> {
        for _ in 0..times {
            let (key_packages, mut joiner) = others::<M>(self.suite, 1)?;
            let welcome = self.before.add(&key_packages, false)?.welcome.ok_or("no Welcome")?;
            self.before.drop_commit()?;
            clock.measure(|| joiner.join(&welcome))?;
        }
        Ok(())
    }

    fn protect(&mut self, times: usize, clock: &mut Clock) -> Result<()> {
        let data = [0; MESSAGE_SIZE];
        for _ in 0..times {
            let message = clock.measure(|| self.creator.protect(&data))?;
            self.last.process(&message)?;
        }
        Ok(())
    }

    fn unprotect(&mut self, times: usize, clock: &mut Clock) -> Result<()> {
        let data = [0; MESSAGE_SIZE];
        for _ in 0..times {
            let message = self.creator.protect(&data)?;
            clock.measure(|| self.last.process(&message))?;
        }
        Ok(())
    }
}

/// Makes key packages of new members, and returns them with the last of those.
fn others<M: Member>(suite: u16, count: usize) -> Result<(Vec<Vec<u8>>, M)> {
    let mut key_packages = Vec::new();
    let mut last = None;
    for _ in 0..count {
        let mut member = newcomer::<M>(suite)?;
        key_packages.push(member.key_package()?);
        last = Some(member);
    }
    Ok((key_packages, last.ok_or("no members")?))
}

/// Makes a client with a name that no other has.
fn newcomer<M: Member>(suite: u16) -> Result<M> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    M::new(suite, &format!("client {}", NEXT.fetch_add(1, Ordering::Relaxed)))
}
