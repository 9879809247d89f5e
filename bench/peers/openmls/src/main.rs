//! OpenMLS with its RustCrypto provider, to be measured. Its states are in the
//! memory store that comes with the provider.

use mendlink_bench_scenario::{Commit, Member, Result, serve};
use openmls::prelude::tls_codec::Deserialize;
use openmls::prelude::*;
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;

fn main() -> Result<()> {
    serve::<Client>()
}

struct Client {
    provider: OpenMlsRustCrypto,
    suite: Ciphersuite,
    signer: SignatureKeyPair,
    credential: CredentialWithKey,
    group: Option<MlsGroup>,
}

impl Client {
    fn capabilities(&self) -> Capabilities {
        Capabilities::for_provider(self.provider.crypto())
    }
}

impl Member for Client {
    fn suites() -> Vec<u16> {
        let suites = OpenMlsRustCrypto::default().crypto().supported_ciphersuites();
        suites.into_iter().map(u16::from).collect()
    }

    fn new(suite: u16, name: &str) -> Result<Self> {
        let suite = Ciphersuite::try_from(suite)?;
        let signer = SignatureKeyPair::new(suite.signature_algorithm())?;
        Ok(Client {
            provider: OpenMlsRustCrypto::default(),
            suite,
            credential: CredentialWithKey {
                credential: BasicCredential::new(name.into()).into(),
                signature_key: signer.to_public_vec().into(),
            },
            signer,
            group: None,
        })
    }

    fn key_package(&mut self) -> Result<Vec<u8>> {
        let bundle = KeyPackage::builder().leaf_node_capabilities(self.capabilities()).build(
            self.suite,
            &self.provider,
            &self.signer,
            self.credential.clone(),
        )?;
        Ok(MlsMessageOut::from(bundle.key_package().clone()).to_bytes()?)
    }

    fn create(&mut self) -> Result<()> {
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(self.suite)
            .capabilities(self.capabilities())
            .wire_format_policy(MIXED_PLAINTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .build();
        let credential = self.credential.clone();
        self.group = Some(MlsGroup::new(&self.provider, &self.signer, &config, credential)?);
        Ok(())
    }

    fn add(&mut self, key_packages: &[Vec<u8>], path: bool) -> Result<Commit> {
        let mut adds = Vec::new();
        for message in key_packages {
            let MlsMessageBodyIn::KeyPackage(k) = parse(message)?.extract() else {
                return Err("not a key package".into());
            };
            adds.push(k.validate(self.provider.crypto(), ProtocolVersion::Mls10)?);
        }
        let group = self.group.as_mut().ok_or("not in a group")?;
        let (commit, welcome, _) = group
            .commit_builder()
            .propose_adds(adds)
            .force_self_update(path)
            .load_psks(self.provider.storage())?
            .build(self.provider.rand(), self.provider.crypto(), &self.signer, |_| true)?
            .stage_commit(&self.provider)?
            .into_messages();
        let welcome = welcome.map(|w| w.to_bytes()).transpose()?;
        Ok(Commit { message: commit.to_bytes()?, welcome })
    }

    fn update(&mut self) -> Result<Commit> {
        self.add(&[], true)
    }

    fn merge(&mut self) -> Result<()> {
        let group = self.group.as_mut().ok_or("not in a group")?;
        Ok(group.merge_pending_commit(&self.provider)?)
    }

    fn drop_commit(&mut self) -> Result<()> {
        let group = self.group.as_mut().ok_or("not in a group")?;
        Ok(group.clear_pending_commit(self.provider.storage())?)
    }

    fn join(&mut self, welcome: &[u8]) -> Result<()> {
        let MlsMessageBodyIn::Welcome(welcome) = parse(welcome)?.extract() else {
            return Err("not a Welcome".into());
        };
        let config = MlsGroupJoinConfig::builder()
            .wire_format_policy(MIXED_PLAINTEXT_WIRE_FORMAT_POLICY)
            .use_ratchet_tree_extension(true)
            .build();
        let staged = StagedWelcome::new_from_welcome(&self.provider, &config, welcome, None)?;
        self.group = Some(staged.into_group(&self.provider)?);
        Ok(())
    }

    fn protect(&mut self, data: &[u8]) -> Result<Vec<u8>> {
        let group = self.group.as_mut().ok_or("not in a group")?;
        Ok(group.create_message(&self.provider, &self.signer, data)?.to_bytes()?)
    }

    fn process(&mut self, message: &[u8]) -> Result<()> {
        let message = parse(message)?.try_into_protocol_message()?;
        let group = self.group.as_mut().ok_or("not in a group")?;
        match group.process_message(&self.provider, message)?.into_content() {
            ProcessedMessageContent::ApplicationMessage(_) => Ok(()),
            ProcessedMessageContent::StagedCommitMessage(c) => {
                Ok(group.merge_staged_commit(&self.provider, *c)?)
            }
            _ => Err("unexpected content".into()),
        }
    }
}

fn parse(message: &[u8]) -> Result<MlsMessageIn> {
    Ok(MlsMessageIn::tls_deserialize_exact(message)?)
}
