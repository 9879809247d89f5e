//! mls-rs as a peer of the live tests: see ../../README.md for the requests.

use mendlink_interop_peer::{Bytes, Proposal, Request, Result, b64, serve};
use mls_rs::client_builder::{
    BaseConfig, PaddingMode, WithCryptoProvider, WithIdentityProvider, WithMlsRules,
};
use mls_rs::crypto::SignatureSecretKey;
use mls_rs::extension::ExtensionType;
use mls_rs::external_client::ExternalClient;
use mls_rs::group::{CommitEffect, ExportedTree, ReceivedMessage, ReinitClient, Roster};
use mls_rs::identity::SigningIdentity;
use mls_rs::identity::basic::{BasicCredential, BasicIdentityProvider};
use mls_rs::mls_rs_codec::MlsEncode;
use mls_rs::mls_rules::{
    CommitDirection, CommitOptions, CommitSource, EncryptionOptions, ProposalBundle,
};
use mls_rs::psk::{ExternalPskId, PreSharedKey};
use mls_rs::{
    CipherSuite, CipherSuiteProvider, Client, CryptoProvider, Extension, ExtensionList, Group,
    MlsMessage, MlsRules, ProtocolVersion,
};
use mls_rs_crypto_openssl::OpensslCryptoProvider;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Config = WithMlsRules<
    Rules,
    WithIdentityProvider<
        BasicIdentityProvider,
        WithCryptoProvider<OpensslCryptoProvider, BaseConfig>,
    >,
>;

fn main() -> Result<()> {
    serve::<Member>()
}

/// Rules are how messages are made, which each request decides.
#[derive(Clone)]
struct Rules(Arc<Mutex<Options>>);

#[derive(Clone, Copy)]
struct Options {
    public: bool,
    without_tree: bool,
    padding: bool,
}

impl MlsRules for Rules {
    type Error = Infallible;

    fn filter_proposals(
        &self,
        _: CommitDirection,
        _: CommitSource,
        _: &Roster,
        _: &mls_rs::group::GroupContext,
        proposals: ProposalBundle,
    ) -> std::result::Result<ProposalBundle, Infallible> {
        Ok(proposals)
    }

    fn commit_options(
        &self,
        _: &Roster,
        _: &mls_rs::group::GroupContext,
        _: &ProposalBundle,
    ) -> std::result::Result<CommitOptions, Infallible> {
        let with_tree = !self.0.lock().unwrap().without_tree;
        Ok(CommitOptions::new().with_ratchet_tree_extension(with_tree))
    }

    fn encryption_options(
        &self,
        _: &Roster,
        _: &mls_rs::group::GroupContext,
    ) -> std::result::Result<EncryptionOptions, Infallible> {
        let options = self.0.lock().unwrap();
        let padding = match options.padding {
            true => PaddingMode::StepFunction,
            false => PaddingMode::None,
        };
        Ok(EncryptionOptions::new(!options.public, padding))
    }
}

/// A Member is one client in at most one group.
struct Member {
    rules: Rules,
    client: Client<Config>,
    group: Option<Group<Config>>,
    /// The group that a commit from outside enters.
    entered: Option<Group<Config>>,
    /// For the group that succeeds one that was closed.
    successor: Option<ReinitClient<Config>>,
    secret: SignatureSecretKey,
}

fn signing_identity(
    suite: CipherSuite,
    name: &[u8],
) -> Result<(SigningIdentity, SignatureSecretKey)> {
    let provider = OpensslCryptoProvider::new()
        .cipher_suite_provider(suite)
        .ok_or("no such suite")?;
    let (secret, public) = provider.signature_key_generate()?;
    let credential = BasicCredential::new(name.to_vec()).into_credential();
    Ok((SigningIdentity::new(credential, public), secret))
}

impl Member {
    fn group(&mut self) -> Result<&mut Group<Config>> {
        self.group.as_mut().ok_or("not in a group".into())
    }

    /// Returns whether the commit removed this member.
    fn take_effect(&mut self, effect: CommitEffect) -> Result<bool> {
        if let CommitEffect::ReInit(reinit) = &effect {
            let group = self.group.take().ok_or("not in a group")?;
            let suite = reinit.proposal.new_cipher_suite();
            self.successor = Some(if suite == group.cipher_suite() {
                group.get_reinit_client(None, None)?
            } else {
                let own = group
                    .current_member_signing_identity()?
                    .credential
                    .as_basic();
                let (identity, secret) =
                    signing_identity(suite, &own.ok_or("not basic")?.identifier)?;
                group.get_reinit_client(Some(secret), Some(identity))?
            });
        }
        Ok(matches!(effect, CommitEffect::Removed { .. }))
    }

    fn options(&self, r: &Request) {
        let mut options = self.rules.0.lock().unwrap();
        options.public = r.public;
        options.without_tree = r.without_tree;
    }
}

impl mendlink_interop_peer::Member for Member {
    fn suites() -> Vec<u16> {
        OpensslCryptoProvider::all_supported_cipher_suites()
            .into_iter()
            .map(u16::from)
            .collect()
    }

    fn new(r: &Request) -> Result<Self> {
        let suite = CipherSuite::from(r.suite);
        let (identity, secret) = signing_identity(suite, &r.identity.0)?;
        let rules = Rules(Arc::new(Mutex::new(Options {
            public: false,
            without_tree: false,
            padding: r.padding > 0,
        })));
        let client = Client::builder()
            .crypto_provider(OpensslCryptoProvider::new())
            .identity_provider(BasicIdentityProvider)
            .mls_rules(rules.clone())
            // Of itself mls-rs gives its keys a year: too long for Mendlink.
            .key_package_lifetime(Duration::from_secs(28 * 24 * 3600))
            .signing_identity(identity, secret.clone(), suite)
            .build();
        Ok(Member {
            rules,
            client,
            group: None,
            entered: None,
            successor: None,
            secret,
        })
    }

    fn key_package(&mut self, _: &Request) -> Result<Value> {
        if let Some(successor) = &self.successor {
            let message = successor.generate_key_package(None)?;
            return Ok(json!({ "message": b64(message.to_bytes()?) }));
        }
        let message = self.client.generate_key_package_message(
            ExtensionList::new(),
            ExtensionList::new(),
            None,
        )?;
        Ok(json!({ "message": b64(message.to_bytes()?) }))
    }

    fn psk(&mut self, r: &Request) -> Result<Value> {
        let secret = PreSharedKey::new(r.secret.0.clone());
        self.client
            .secret_store()
            .insert(ExternalPskId::new(r.id.0.clone()), secret);
        Ok(json!({}))
    }

    fn create(&mut self, r: &Request) -> Result<Value> {
        self.group = Some(self.client.create_group_with_id(
            r.group_id.0.clone(),
            ExtensionList::new(),
            ExtensionList::new(),
            None,
        )?);
        Ok(json!({}))
    }

    fn join(&mut self, r: &Request) -> Result<Value> {
        let welcome = parse(&r.message)?;
        let (group, _) = if !r.succeeds {
            self.client.join_group(tree(r)?, &welcome, None)?
        } else if let Some(successor) = self.successor.take() {
            successor.join(&welcome, tree(r)?, None)?
        } else {
            self.group()?.join_subgroup(&welcome, tree(r)?, None)?
        };
        self.group = Some(group);
        Ok(json!({}))
    }

    fn branch(&mut self, r: &Request) -> Result<Value> {
        let key_packages = parse_all(&r.key_packages)?;
        let (group, welcomes) = self
            .group()?
            .branch(r.group_id.0.clone(), key_packages, None)?;
        self.group = Some(group);
        Ok(json!({ "message": b64(welcomes[0].to_bytes()?) }))
    }

    fn reinitialize(&mut self, r: &Request) -> Result<Value> {
        let successor = self.successor.take().ok_or("the group is not closed")?;
        let key_packages = parse_all(&r.key_packages)?;
        let (group, welcomes) = successor.commit(key_packages, ExtensionList::new(), None)?;
        self.group = Some(group);
        Ok(json!({ "message": b64(welcomes[0].to_bytes()?) }))
    }

    fn propose(&mut self, r: &Request) -> Result<Value> {
        self.options(r);
        let group = self.group()?;
        let p = &r.proposal;
        let message = if let Some(key_package) = &p.add {
            group.propose_add(parse(key_package)?, vec![])?
        } else if let Some(index) = p.remove {
            group.propose_remove(index, vec![])?
        } else if let Some(id) = &p.psk {
            group.propose_external_psk(ExternalPskId::new(id.0.clone()), vec![])?
        } else if let Some(epoch) = p.resumption {
            group.propose_resumption_psk(epoch, vec![])?
        } else if p.update {
            group.propose_update(vec![])?
        } else if let Some(list) = &p.context_extensions {
            group.propose_group_context_extensions(extensions(list), vec![])?
        } else if let Some(reinit) = &p.reinit {
            let suite = CipherSuite::from(reinit.suite);
            let id = Some(reinit.group_id.0.clone());
            group.propose_reinit(
                id,
                ProtocolVersion::MLS_10,
                suite,
                ExtensionList::new(),
                vec![],
            )?
        } else {
            return Err("no such proposal".into());
        };
        Ok(json!({ "message": b64(message.to_bytes()?) }))
    }

    fn commit(&mut self, r: &Request) -> Result<Value> {
        self.options(r);
        let group = self.group()?;
        let mut builder = group.commit_builder();
        for p in &r.proposals {
            builder = by_value(builder, p)?;
        }
        let made = builder.build()?;
        let welcome = made
            .welcome_messages
            .first()
            .map(|w| w.to_bytes())
            .transpose()?;
        let tree = made.ratchet_tree.map(|t| t.to_bytes()).transpose()?;
        Ok(json!({
            "message": b64(made.commit_message.to_bytes()?),
            "welcome": welcome.map(b64),
            "tree": tree.map(b64),
        }))
    }

    fn merge(&mut self, _: &Request) -> Result<Value> {
        if let Some(group) = self.entered.take() {
            self.group = Some(group);
        } else {
            let applied = self.group()?.apply_pending_commit()?;
            self.take_effect(applied.effect)?;
        }
        Ok(json!({}))
    }

    fn protect(&mut self, r: &Request) -> Result<Value> {
        let authenticated = r.authenticated_data.0.clone();
        let message = self
            .group()?
            .encrypt_application_message(&r.data.0, authenticated)?;
        Ok(json!({ "message": b64(message.to_bytes()?) }))
    }

    fn process(&mut self, r: &Request) -> Result<Value> {
        match self.group()?.process_incoming_message(parse(&r.message)?)? {
            ReceivedMessage::ApplicationMessage(m) => {
                Ok(json!({ "kind": "application", "data": b64(m.data()) }))
            }
            ReceivedMessage::Proposal(_) => Ok(json!({ "kind": "proposal" })),
            ReceivedMessage::Commit(c) => {
                let removed = self.take_effect(c.effect)?;
                Ok(json!({ "kind": "commit", "removed": removed }))
            }
            other => Err(format!("received {other:?}").into()),
        }
    }

    fn group_info(&mut self, r: &Request) -> Result<Value> {
        let group = self.group()?;
        let message = group.group_info_message_allowing_ext_commit(!r.without_tree)?;
        let tree = group.export_tree().to_bytes()?;
        Ok(json!({ "message": b64(message.to_bytes()?), "tree": b64(tree) }))
    }

    fn external_join(&mut self, r: &Request) -> Result<Value> {
        let mut builder = self.client.external_commit_builder()?;
        if let Some(tree) = tree(r)? {
            builder = builder.with_tree_data(tree);
        }
        if r.resync {
            builder = builder.with_removal(self.group()?.current_member_index());
        }
        let (group, message) = builder.build(parse(&r.message)?)?;
        self.entered = Some(group);
        Ok(json!({ "message": b64(message.to_bytes()?) }))
    }

    fn propose_join(&mut self, r: &Request) -> Result<Value> {
        let message = self.client.external_add_proposal(
            &parse(&r.message)?,
            tree(r)?,
            vec![],
            ExtensionList::new(),
            ExtensionList::new(),
            None,
        )?;
        Ok(json!({ "message": b64(message.to_bytes()?) }))
    }

    fn external_sender(&mut self, _: &Request) -> Result<Value> {
        let (identity, _) = self.client.signing_identity()?;
        Ok(json!({ "sender": b64(identity.mls_encode_to_vec()?) }))
    }

    fn propose_from_outside(&mut self, r: &Request) -> Result<Value> {
        let (identity, _) = self.client.signing_identity()?;
        let observer = ExternalClient::builder()
            .crypto_provider(OpensslCryptoProvider::new())
            .identity_provider(BasicIdentityProvider)
            .signer(self.secret.clone(), identity.clone())
            .build();
        let mut group = observer.observe_group(parse(&r.message)?, tree(r)?, None)?;
        let message = if let Some(key_package) = &r.proposal.add {
            group.propose_add(parse(key_package)?, vec![])?
        } else if let Some(index) = r.proposal.remove {
            group.propose_remove(index, vec![])?
        } else {
            return Err("no such proposal from outside".into());
        };
        Ok(json!({ "message": b64(message.to_bytes()?) }))
    }

    fn status(&mut self, r: &Request) -> Result<Value> {
        let group = self.group()?;
        let exported = group.export_secret(r.label.as_bytes(), &r.context.0, r.length)?;
        let mut members = Vec::new();
        for m in group.roster().members_iter() {
            let basic = m
                .signing_identity
                .credential
                .as_basic()
                .ok_or("not basic")?;
            members.push(json!({ "index": m.index, "identity": b64(&basic.identifier) }));
        }
        Ok(json!({
            "epoch": group.current_epoch(),
            "authenticator": b64(group.epoch_authenticator()?.as_bytes()),
            "exported": b64(exported.as_bytes()),
            "members": members,
        }))
    }
}

type CommitBuilder<'a> = mls_rs::group::CommitBuilder<'a, Config>;

fn by_value<'a>(builder: CommitBuilder<'a>, p: &Proposal) -> Result<CommitBuilder<'a>> {
    Ok(if let Some(key_package) = &p.add {
        builder.add_member(parse(key_package)?)?
    } else if let Some(index) = p.remove {
        builder.remove_member(index)?
    } else if let Some(id) = &p.psk {
        builder.add_external_psk(ExternalPskId::new(id.0.clone()))?
    } else if let Some(epoch) = p.resumption {
        builder.add_resumption_psk(epoch)?
    } else if let Some(list) = &p.context_extensions {
        builder.set_group_context_ext(extensions(list))?
    } else if let Some(reinit) = &p.reinit {
        let suite = CipherSuite::from(reinit.suite);
        let id = Some(reinit.group_id.0.clone());
        builder.reinit(id, ProtocolVersion::MLS_10, suite, ExtensionList::new())?
    } else {
        return Err("proposal cannot be sent by value".into());
    })
}

fn parse(message: &Bytes) -> Result<MlsMessage> {
    Ok(MlsMessage::from_bytes(&message.0)?)
}

fn parse_all(messages: &[Bytes]) -> Result<Vec<MlsMessage>> {
    messages.iter().map(parse).collect()
}

fn tree(r: &Request) -> Result<Option<ExportedTree<'static>>> {
    Ok(r.tree
        .as_ref()
        .map(|t| ExportedTree::from_bytes(&t.0))
        .transpose()?)
}

fn extensions(list: &[mendlink_interop_peer::Extension]) -> ExtensionList {
    let mut result = ExtensionList::new();
    for x in list {
        result.set(Extension::new(
            ExtensionType::new(x.r#type),
            x.data.0.clone(),
        ));
    }
    result
}
