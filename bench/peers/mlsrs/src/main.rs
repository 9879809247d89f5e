//! mls-rs with its OpenSSL provider, to be measured. Its states are in memory and
//! not written to a store.

use mendlink_bench_scenario::{Commit, Member, Result, serve};
use mls_rs::client_builder::{
    BaseConfig, PaddingMode, WithCryptoProvider, WithIdentityProvider, WithMlsRules,
};
use mls_rs::crypto::SignatureSecretKey;
use mls_rs::group::{GroupContext, Roster};
use mls_rs::identity::SigningIdentity;
use mls_rs::identity::basic::{BasicCredential, BasicIdentityProvider};
use mls_rs::mls_rules::{
    CommitDirection, CommitOptions, CommitSource, EncryptionOptions, ProposalBundle,
};
use mls_rs::{
    CipherSuite, CipherSuiteProvider, Client, CryptoProvider, ExtensionList, Group, MlsMessage,
    MlsRules,
};
use mls_rs_crypto_openssl::OpensslCryptoProvider;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

type Config = WithMlsRules<
    Rules,
    WithIdentityProvider<
        BasicIdentityProvider,
        WithCryptoProvider<OpensslCryptoProvider, BaseConfig>,
    >,
>;

fn main() -> Result<()> {
    serve::<Player>()
}

/// Rules say whether a commit has a path though it needs none.
#[derive(Clone, Default)]
struct Rules {
    path: Arc<AtomicBool>,
}

impl MlsRules for Rules {
    type Error = Infallible;

    fn filter_proposals(
        &self,
        _: CommitDirection,
        _: CommitSource,
        _: &Roster,
        _: &GroupContext,
        proposals: ProposalBundle,
    ) -> std::result::Result<ProposalBundle, Infallible> {
        Ok(proposals)
    }

    fn commit_options(
        &self,
        _: &Roster,
        _: &GroupContext,
        _: &ProposalBundle,
    ) -> std::result::Result<CommitOptions, Infallible> {
        Ok(CommitOptions::new()
            .with_ratchet_tree_extension(true)
            .with_path_required(self.path.load(Ordering::Relaxed)))
    }

    fn encryption_options(
        &self,
        _: &Roster,
        _: &GroupContext,
    ) -> std::result::Result<EncryptionOptions, Infallible> {
        Ok(EncryptionOptions::new(false, PaddingMode::None))
    }
}

struct Player {
    rules: Rules,
    client: Client<Config>,
    group: Option<Group<Config>>,
}

impl Player {
    fn group(&mut self) -> Result<&mut Group<Config>> {
        self.group.as_mut().ok_or("not in a group".into())
    }
}

fn signing_identity(suite: CipherSuite, name: &str) -> Result<(SigningIdentity, SignatureSecretKey)> {
    let provider = OpensslCryptoProvider::new()
        .cipher_suite_provider(suite)
        .ok_or("no such suite")?;
    let (secret, public) = provider.signature_key_generate()?;
    let credential = BasicCredential::new(name.into()).into_credential();
    Ok((SigningIdentity::new(credential, public), secret))
}

impl Member for Player {
    fn suites() -> Vec<u16> {
        OpensslCryptoProvider::all_supported_cipher_suites()
            .into_iter()
            .map(u16::from)
            .collect()
    }

    fn new(suite: u16, name: &str) -> Result<Self> {
        let suite = CipherSuite::from(suite);
        let (identity, secret) = signing_identity(suite, name)?;
        let rules = Rules::default();
        let client = Client::builder()
            .crypto_provider(OpensslCryptoProvider::new())
            .identity_provider(BasicIdentityProvider)
            .mls_rules(rules.clone())
            .signing_identity(identity, secret, suite)
            .build();
        Ok(Player { rules, client, group: None })
    }

    fn key_package(&mut self) -> Result<Vec<u8>> {
        let none = ExtensionList::new;
        Ok(self.client.generate_key_package_message(none(), none(), None)?.to_bytes()?)
    }

    fn create(&mut self) -> Result<()> {
        let none = ExtensionList::new;
        self.group = Some(self.client.create_group(none(), none(), None)?);
        Ok(())
    }

    fn add(&mut self, key_packages: &[Vec<u8>], path: bool) -> Result<Commit> {
        self.rules.path.store(path, Ordering::Relaxed);
        let mut builder = self.group()?.commit_builder();
        for message in key_packages {
            builder = builder.add_member(MlsMessage::from_bytes(message)?)?;
        }
        let made = builder.build()?;
        let welcome = made.welcome_messages.first().map(|w| w.to_bytes()).transpose()?;
        Ok(Commit { message: made.commit_message.to_bytes()?, welcome })
    }

    fn update(&mut self) -> Result<Commit> {
        self.add(&[], true)
    }

    fn merge(&mut self) -> Result<()> {
        self.group()?.apply_pending_commit()?;
        Ok(())
    }

    fn drop_commit(&mut self) -> Result<()> {
        self.group()?.clear_pending_commit();
        Ok(())
    }

    fn join(&mut self, welcome: &[u8]) -> Result<()> {
        let (group, _) = self.client.join_group(None, &MlsMessage::from_bytes(welcome)?, None)?;
        self.group = Some(group);
        Ok(())
    }

    fn protect(&mut self, data: &[u8]) -> Result<Vec<u8>> {
        Ok(self.group()?.encrypt_application_message(data, vec![])?.to_bytes()?)
    }

    fn process(&mut self, message: &[u8]) -> Result<()> {
        self.group()?.process_incoming_message(MlsMessage::from_bytes(message)?)?;
        Ok(())
    }
}
