//! A peer of the live tests reads a request a line from its standard input, a JSON
//! object, and writes the answer as one line. See ../../README.md for the requests.

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, Write};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Octets, in base64 on the wire; null is no octets.
#[derive(Default, Clone)]
pub struct Bytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let text = Option::<String>::deserialize(d)?.unwrap_or_default();
        BASE64_STANDARD
            .decode(text)
            .map(Bytes)
            .map_err(serde::de::Error::custom)
    }
}

pub fn b64(bytes: impl AsRef<[u8]>) -> Value {
    BASE64_STANDARD.encode(bytes).into()
}

/// The arguments of all requests; each uses some of them.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Request {
    op: String,
    member: u64,
    pub suite: u16,
    pub identity: Bytes,
    pub padding: usize,
    pub components: Vec<u16>,
    pub context_extensions: Vec<Extension>,
    pub id: Bytes,
    pub secret: Bytes,
    pub group_id: Bytes,
    pub message: Bytes,
    pub tree: Option<Bytes>,
    pub succeeds: bool,
    pub key_packages: Vec<Bytes>,
    pub proposal: Proposal,
    pub proposals: Vec<Proposal>,
    pub public: bool,
    pub without_tree: bool,
    pub resync: bool,
    pub data: Bytes,
    pub authenticated_data: Bytes,
    pub safe_aad: Vec<Item>,
    pub component: u16,
    pub label: String,
    pub context: Bytes,
    pub length: usize,
}

/// A proposal has one field set.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Proposal {
    pub add: Option<Bytes>,
    pub remove: Option<u32>,
    pub psk: Option<Bytes>,
    pub resumption: Option<u64>,
    pub update: bool,
    pub context_extensions: Option<Vec<Extension>>,
    pub reinit: Option<ReInit>,
    pub app_psk: Option<Item>,
    pub app_data_update: Option<Item>,
    pub app_data_remove: Option<u16>,
    pub app_ephemeral: Option<Item>,
    pub self_remove: bool,
}

/// Something of a component.
#[derive(Deserialize)]
pub struct Item {
    pub component: u16,
    pub data: Bytes,
}

#[derive(Deserialize)]
pub struct Extension {
    pub r#type: u16,
    pub data: Bytes,
}

#[derive(Deserialize)]
pub struct ReInit {
    pub group_id: Bytes,
    pub suite: u16,
}

/// A Member is one client in at most one group. Its methods are the operations.
pub trait Member: Sized {
    fn suites() -> Vec<u16>;
    fn new(r: &Request) -> Result<Self>;
    fn key_package(&mut self, r: &Request) -> Result<Value>;
    fn psk(&mut self, r: &Request) -> Result<Value>;
    fn create(&mut self, r: &Request) -> Result<Value>;
    fn join(&mut self, r: &Request) -> Result<Value>;
    fn propose(&mut self, r: &Request) -> Result<Value>;
    fn commit(&mut self, r: &Request) -> Result<Value>;
    fn merge(&mut self, r: &Request) -> Result<Value>;
    fn protect(&mut self, r: &Request) -> Result<Value>;
    fn process(&mut self, r: &Request) -> Result<Value>;
    fn group_info(&mut self, r: &Request) -> Result<Value>;
    fn external_join(&mut self, r: &Request) -> Result<Value>;
    fn status(&mut self, r: &Request) -> Result<Value>;

    fn propose_join(&mut self, r: &Request) -> Result<Value> {
        unknown(r)
    }
    fn branch(&mut self, r: &Request) -> Result<Value> {
        unknown(r)
    }
    fn reinitialize(&mut self, r: &Request) -> Result<Value> {
        unknown(r)
    }
    fn external_sender(&mut self, r: &Request) -> Result<Value> {
        unknown(r)
    }
    fn propose_from_outside(&mut self, r: &Request) -> Result<Value> {
        unknown(r)
    }
    fn safe_export(&mut self, r: &Request) -> Result<Value> {
        unknown(r)
    }
    fn app_psk(&mut self, r: &Request) -> Result<Value> {
        unknown(r)
    }
    fn app_data(&mut self, r: &Request) -> Result<Value> {
        unknown(r)
    }
}

fn unknown(r: &Request) -> Result<Value> {
    Err(format!("no operation {}", r.op).into())
}

/// Answers requests until the standard input ends.
pub fn serve<M: Member>() -> Result<()> {
    let mut members = Members::<M> {
        members: HashMap::new(),
        last: 0,
    };
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = serde_json::from_str(&line?)
            .map_err(Into::into)
            .and_then(|request| members.answer(&request));
        let reply = match answer {
            Ok(result) => json!({ "result": result }),
            Err(e) => json!({ "error": format!("{e} ({e:?})") }),
        };
        writeln!(output, "{reply}")?;
        output.flush()?;
    }
    Ok(())
}

struct Members<M> {
    members: HashMap<u64, M>,
    last: u64,
}

impl<M: Member> Members<M> {
    fn answer(&mut self, r: &Request) -> Result<Value> {
        match r.op.as_str() {
            "suites" => return Ok(json!({ "suites": M::suites() })),
            "member" => {
                self.last += 1;
                self.members.insert(self.last, M::new(r)?);
                return Ok(json!({ "member": self.last }));
            }
            "close" => {
                self.members.remove(&r.member);
                return Ok(json!({}));
            }
            _ => {}
        }
        let member = self.members.get_mut(&r.member).ok_or("no such member")?;
        match r.op.as_str() {
            "key_package" => member.key_package(r),
            "psk" => member.psk(r),
            "create" => member.create(r),
            "join" => member.join(r),
            "propose" => member.propose(r),
            "commit" => member.commit(r),
            "merge" => member.merge(r),
            "protect" => member.protect(r),
            "process" => member.process(r),
            "group_info" => member.group_info(r),
            "external_join" => member.external_join(r),
            "status" => member.status(r),
            "propose_join" => member.propose_join(r),
            "branch" => member.branch(r),
            "reinitialize" => member.reinitialize(r),
            "external_sender" => member.external_sender(r),
            "propose_from_outside" => member.propose_from_outside(r),
            "safe_export" => member.safe_export(r),
            "app_psk" => member.app_psk(r),
            "app_data" => member.app_data(r),
            _ => unknown(r),
        }
    }
}
