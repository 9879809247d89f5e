//! Measures an implementation of MLS: the operations of ../../../internal/ours, in
//! the same groups. See ../../../README.md for the requests.

mod clock;
mod group;

use clock::Clock;
use group::Group;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{BufRead, Write};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A commit that takes effect with [Member::merge], as octets.
pub struct Commit {
    pub message: Vec<u8>,
    pub welcome: Option<Vec<u8>>,
}

/// A Member is a client with a signature key, in at most one group. What goes from
/// one to another is octets. Handshake messages are PublicMessages, and a Welcome
/// has the tree in it.
pub trait Member: Sized {
    fn suites() -> Vec<u16>;
    fn new(suite: u16, name: &str) -> Result<Self>;
    fn key_package(&mut self) -> Result<Vec<u8>>;
    fn create(&mut self) -> Result<()>;
    fn add(&mut self, key_packages: &[Vec<u8>], path: bool) -> Result<Commit>;
    fn update(&mut self) -> Result<Commit>;
    fn merge(&mut self) -> Result<()>;
    fn drop_commit(&mut self) -> Result<()>;
    fn join(&mut self, welcome: &[u8]) -> Result<()>;
    fn protect(&mut self, data: &[u8]) -> Result<Vec<u8>>;
    fn process(&mut self, message: &[u8]) -> Result<()>;
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Request {
    op: String,
    suite: u16,
    members: usize,
    operation: String,
    times: usize,
}

/// Answers requests until the standard input ends.
pub fn serve<M: Member>() -> Result<()> {
    let mut group: Option<Group<M>> = None;
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = serde_json::from_str(&line?)
            .map_err(Into::into)
            .and_then(|request| answer(&mut group, &request));
        let reply = match answer {
            Ok(result) => json!({ "result": result }),
            Err(e) => json!({ "error": format!("{e} ({e:?})") }),
        };
        writeln!(output, "{reply}")?;
        output.flush()?;
    }
    Ok(())
}

fn answer<M: Member>(group: &mut Option<Group<M>>, r: &Request) -> Result<Value> {
    match r.op.as_str() {
        "suites" => Ok(json!({ "suites": M::suites() })),
        "group" => {
            *group = None;
            *group = Some(Group::new(r.suite, r.members)?);
            Ok(json!({}))
        }
        "measure" => {
            let group = group.as_mut().ok_or("no group")?;
            let mut clock = Clock::default();
            group.run(&r.operation, r.times, &mut clock)?;
            Ok(json!({ "cpu": clock.cpu.as_nanos() as u64, "wall": clock.wall.as_nanos() as u64 }))
        }
        other => Err(format!("no request {other}").into()),
    }
}
