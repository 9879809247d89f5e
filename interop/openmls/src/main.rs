//! OpenMLS as a peer of the live tests: it reads a request a line from its
//! standard input, a JSON object, and writes the answer as one line. See
//! ../../README.md for the requests.

mod member;
mod provider;

use base64::prelude::{BASE64_STANDARD, Engine};
use member::Member;
use openmls::prelude::{OpenMlsCrypto, OpenMlsProvider};
use provider::Provider;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, Write};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Octets, in base64 on the wire.
#[derive(Default, Clone)]
pub struct Bytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(d)?;
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
    pub op: String,
    pub member: u64,
    pub suite: u16,
    pub identity: Bytes,
    pub padding: usize,
    pub id: Bytes,
    pub secret: Bytes,
    pub group_id: Bytes,
    pub message: Bytes,
    pub tree: Option<Bytes>,
    pub proposal: Proposal,
    pub proposals: Vec<Proposal>,
    pub public: bool,
    pub without_tree: bool,
    pub data: Option<Bytes>,
    pub authenticated_data: Option<Bytes>,
    pub component: u16,
    pub label: String,
    pub context: Bytes,
    pub length: usize,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Proposal {
    pub add: Option<Bytes>,
    pub remove: Option<u32>,
    pub psk: Option<Bytes>,
    pub update: bool,
    pub context_extensions: Option<Vec<Extension>>,
}

#[derive(Deserialize)]
pub struct Extension {
    pub r#type: u16,
    pub data: Bytes,
}

struct Peer {
    members: HashMap<u64, Member>,
    last: u64,
}

impl Peer {
    fn answer(&mut self, r: &Request) -> Result<Value> {
        match r.op.as_str() {
            "suites" => {
                let suites = Provider::default().crypto().supported_ciphersuites();
                let numbers: Vec<u16> = suites.into_iter().map(u16::from).collect();
                Ok(json!({ "suites": numbers }))
            }
            "member" => {
                self.last += 1;
                self.members.insert(self.last, Member::new(r)?);
                Ok(json!({ "member": self.last }))
            }
            "close" => {
                self.members.remove(&r.member);
                Ok(json!({}))
            }
            _ => self
                .members
                .get_mut(&r.member)
                .ok_or("no such member")?
                .answer(r),
        }
    }
}

fn main() -> Result<()> {
    let mut peer = Peer { members: HashMap::new(), last: 0 };
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = serde_json::from_str(&line?)
            .map_err(Into::into)
            .and_then(|request| peer.answer(&request));
        let reply = match answer {
            Ok(result) => json!({ "result": result }),
            Err(e) => json!({ "error": format!("{e} ({e:?})") }),
        };
        writeln!(output, "{reply}")?;
        output.flush()?;
    }
    Ok(())
}
