use crate::provider::Provider;
use mendlink_interop_peer::{Bytes, Proposal as ProposalRequest, Request, Result, b64};
use openmls::component::{ComponentData, ComponentType, ComponentsList};
use openmls::group::AppDataUpdates;
use openmls::messages::external_proposals::{ExternalProposal, JoinProposal};
use openmls::messages::group_info::VerifiableGroupInfo;
use openmls::messages::proposals::{
    AppDataUpdateOperation, AppDataUpdateProposal, AppEphemeralProposal,
};
use openmls::prelude::tls_codec::{Deserialize, Serialize};
use openmls::prelude::*;
use openmls::schedule::psk::{
    ApplicationPsk, ExternalPsk, PreSharedKeyId, Psk, ResumptionPsk, ResumptionPskUsage,
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::MemoryStorage;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many epochs' resumption PSKs a group keeps: more than a scenario needs, since
/// at the limit OpenMLS drops another than the oldest first.
const RESUMPTION_PSKS: usize = 32;

/// A Member is one client in at most one group.
pub struct Member {
    provider: Provider,
    suite: Ciphersuite,
    signer: SignatureKeyPair,
    credential: CredentialWithKey,
    padding: usize,
    /// Components that the client says it supports; none: it does not speak of them.
    components: Vec<u16>,
    group: Option<MlsGroup>,
}

impl Member {
    fn capabilities(&self) -> Capabilities {
        let all = Capabilities::for_provider(self.provider.crypto());
        if self.components.is_empty() {
            return all;
        }
        Capabilities::builder()
            .ciphersuites(self.provider.crypto().supported_ciphersuites())
            .extensions(vec![ExtensionType::AppDataDictionary])
            .proposals(vec![
                ProposalType::AppDataUpdate,
                ProposalType::AppEphemeral,
                ProposalType::SelfRemove,
            ])
            .build()
    }

    /// What the leaf says of components (draft-ietf-mls-extensions, Section 4.7).
    fn leaf_extensions(&self) -> Result<Extensions<LeafNode>> {
        if self.components.is_empty() {
            return Ok(Extensions::empty());
        }
        let list = ComponentsList::new(self.components.clone()).tls_serialize_detached()?;
        let mut dictionary = AppDataDictionary::new();
        dictionary.insert(ComponentType::AppComponents.into(), list);
        let extension = AppDataDictionaryExtension::new(dictionary);
        Ok(Extensions::single(Extension::AppDataDictionary(extension))?)
    }

    fn build_key_package(&self) -> Result<KeyPackageBundle> {
        Ok(KeyPackage::builder()
            .leaf_node_capabilities(self.capabilities())
            .leaf_node_extensions(self.leaf_extensions()?)
            .build(
                self.suite,
                &self.provider,
                &self.signer,
                self.credential.clone(),
            )?)
    }

    fn psk_id(&self, id: &Bytes) -> Result<PreSharedKeyId> {
        let psk = Psk::External(ExternalPsk::new(id.0.clone()));
        Ok(PreSharedKeyId::new(self.suite, self.provider.rand(), psk)?)
    }

    fn app_psk_id(&self, component: u16, id: &Bytes) -> Result<PreSharedKeyId> {
        let psk = Psk::Application(ApplicationPsk::new(component, id.0.clone().into()));
        Ok(PreSharedKeyId::new(self.suite, self.provider.rand(), psk)?)
    }

    fn config(&self, public: bool) -> MlsGroupJoinConfig {
        MlsGroupJoinConfig::builder()
            .wire_format_policy(wire_format_policy(public))
            .padding_size(self.padding)
            .number_of_resumption_psks(RESUMPTION_PSKS)
            .use_ratchet_tree_extension(true)
            .build()
    }

    fn proposal(&self, p: &ProposalRequest) -> Result<Propose> {
        Ok(if let Some(message) = &p.add {
            Propose::Add(self.parse_key_package(message)?)
        } else if let Some(index) = p.remove {
            Propose::Remove(index)
        } else if let Some(id) = &p.psk {
            Propose::PreSharedKey(self.psk_id(id)?)
        } else if let Some(epoch) = p.resumption {
            let group_id = self
                .group
                .as_ref()
                .ok_or("not in a group")?
                .group_id()
                .clone();
            let usage = ResumptionPskUsage::Application;
            let psk = Psk::Resumption(ResumptionPsk::new(usage, group_id, epoch.into()));
            Propose::PreSharedKey(PreSharedKeyId::new(self.suite, self.provider.rand(), psk)?)
        } else if let Some(list) = &p.context_extensions {
            Propose::GroupContextExtensions(context_extensions(list)?)
        } else if let Some(psk) = &p.app_psk {
            Propose::PreSharedKey(self.app_psk_id(psk.component, &psk.data)?)
        } else if let Some(u) = &p.app_data_update {
            Propose::UpdateAppDataComponent {
                component_id: u.component,
                update: u.data.0.clone(),
            }
        } else if let Some(component_id) = p.app_data_remove {
            Propose::RemoveAppDataComponent { component_id }
        } else if p.update {
            Propose::Update(LeafNodeParameters::default())
        } else {
            return Err("no such proposal".into());
        })
    }

    fn parse_key_package(&self, message: &Bytes) -> Result<KeyPackage> {
        match parse(message)?.extract() {
            MlsMessageBodyIn::KeyPackage(k) => {
                Ok(k.validate(self.provider.crypto(), ProtocolVersion::Mls10)?)
            }
            _ => Err("not a key package".into()),
        }
    }

    /// Has the next handshake message sent in a framing.
    fn frame(&mut self, public: bool) -> Result<()> {
        let config = self.config(public);
        let group = self.group.as_mut().ok_or("not in a group")?;
        Ok(group.set_configuration(self.provider.storage(), &config)?)
    }
}

impl mendlink_interop_peer::Member for Member {
    fn suites() -> Vec<u16> {
        let suites = Provider::default().crypto().supported_ciphersuites();
        suites.into_iter().map(u16::from).collect()
    }

    fn new(r: &Request) -> Result<Self> {
        let suite = Ciphersuite::try_from(r.suite)?;
        let signer = SignatureKeyPair::new(suite.signature_algorithm())?;
        Ok(Member {
            provider: Provider::default(),
            suite,
            credential: CredentialWithKey {
                credential: BasicCredential::new(r.identity.0.clone()).into(),
                signature_key: signer.to_public_vec().into(),
            },
            signer,
            padding: r.padding,
            components: r.components.clone(),
            group: None,
        })
    }

    fn key_package(&mut self, _: &Request) -> Result<Value> {
        let bundle = self.build_key_package()?;
        let message = MlsMessageOut::from(bundle.key_package().clone());
        Ok(json!({ "message": b64(message.to_bytes()?) }))
    }

    fn psk(&mut self, r: &Request) -> Result<Value> {
        self.psk_id(&r.id)?.store(&self.provider, &r.secret.0)?;
        Ok(json!({}))
    }

    fn create(&mut self, r: &Request) -> Result<Value> {
        let config = MlsGroupCreateConfig::builder()
            .ciphersuite(self.suite)
            .capabilities(self.capabilities())
            .wire_format_policy(wire_format_policy(false))
            .padding_size(self.padding)
            .number_of_resumption_psks(RESUMPTION_PSKS)
            .use_ratchet_tree_extension(true)
            .with_leaf_node_extensions(self.leaf_extensions()?)?
            .with_group_context_extensions(context_extensions(&r.context_extensions)?)
            .build();
        self.group = Some(MlsGroup::new_with_group_id(
            &self.provider,
            &self.signer,
            &config,
            GroupId::from_slice(&r.group_id.0),
            self.credential.clone(),
        )?);
        Ok(json!({}))
    }

    fn join(&mut self, r: &Request) -> Result<Value> {
        let MlsMessageBodyIn::Welcome(welcome) = parse(&r.message)?.extract() else {
            return Err("not a Welcome".into());
        };
        let staged = StagedWelcome::new_from_welcome(
            &self.provider,
            &self.config(false),
            welcome,
            parse_tree(&r.tree)?,
        )?;
        self.group = Some(staged.into_group(&self.provider)?);
        Ok(json!({}))
    }

    fn propose(&mut self, r: &Request) -> Result<Value> {
        self.frame(r.public || r.proposal.self_remove)?;
        if r.proposal.self_remove {
            let group = self.group.as_mut().ok_or("not in a group")?;
            let message = group.leave_group_via_self_remove(&self.provider, &self.signer)?;
            return Ok(json!({ "message": b64(message.to_bytes()?) }));
        }
        let proposal = self.proposal(&r.proposal)?;
        let (group, provider) = (self.group.as_mut().ok_or("not in a group")?, &self.provider);
        let (message, _) = group.propose(
            provider,
            &self.signer,
            proposal,
            ProposalOrRefType::Reference,
        )?;
        Ok(json!({ "message": b64(message.to_bytes()?) }))
    }

    fn commit(&mut self, r: &Request) -> Result<Value> {
        self.frame(r.public)?;
        let mut adds = Vec::new();
        let mut removals = Vec::new();
        let mut psks = Vec::new();
        let mut extensions = None;
        let mut of_components = Vec::new();
        for p in &r.proposals {
            if let Some(e) = &p.app_ephemeral {
                let proposal = AppEphemeralProposal::new(e.component, e.data.0.clone());
                of_components.push(Proposal::AppEphemeral(Box::new(proposal)));
                continue;
            }
            match self.proposal(p)? {
                Propose::UpdateAppDataComponent {
                    component_id,
                    update,
                } => of_components.push(Proposal::AppDataUpdate(Box::new(
                    AppDataUpdateProposal::update(component_id, update),
                ))),
                Propose::RemoveAppDataComponent { component_id } => of_components.push(
                    Proposal::AppDataUpdate(Box::new(AppDataUpdateProposal::remove(component_id))),
                ),
                Propose::Add(key_package) => adds.push(key_package),
                Propose::Remove(index) => removals.push(LeafNodeIndex::new(index)),
                Propose::PreSharedKey(id) => psks.push(PreSharedKeyProposal::new(id)),
                Propose::GroupContextExtensions(e) => extensions = Some(e),
                _ => return Err("proposal cannot be sent by value".into()),
            }
        }
        let group = self.group.as_mut().ok_or("not in a group")?;
        let provider = &self.provider;
        let mut builder = group
            .commit_builder()
            .propose_adds(adds)
            .propose_removals(removals)
            .add_proposals(
                psks.into_iter()
                    .map(|p| Proposal::PreSharedKey(Box::new(p))),
            )
            .add_proposals(of_components)
            .force_self_update(true);
        if let Some(extensions) = extensions {
            builder = builder.propose_group_context_extensions(extensions)?;
        }
        let mut builder = builder.load_psks(provider.storage())?;
        let updates = app_data_updates(
            builder.app_data_dictionary_updater(),
            builder.app_data_update_proposals(),
        );
        builder.with_app_data_dictionary_updates(updates);
        let (commit, welcome, _) = builder
            .use_ratchet_tree_extension(!r.without_tree)
            .build(provider.rand(), provider.crypto(), &self.signer, |_| true)?
            .stage_commit(provider)?
            .into_messages();
        let welcome = welcome.map(|w| w.to_bytes()).transpose()?.map(b64);
        let staged = group.pending_commit().ok_or("no pending commit")?;
        let tree = staged.export_ratchet_tree(provider.crypto(), group.export_ratchet_tree())?;
        let tree = tree
            .map(|t| t.tls_serialize_detached())
            .transpose()?
            .map(b64);
        Ok(json!({ "message": b64(commit.to_bytes()?), "welcome": welcome, "tree": tree }))
    }

    fn merge(&mut self, _: &Request) -> Result<Value> {
        let group = self.group.as_mut().ok_or("not in a group")?;
        // An external commit has taken effect when it was made.
        if group.pending_commit().is_some() {
            group.merge_pending_commit(&self.provider)?;
        }
        Ok(json!({}))
    }

    fn protect(&mut self, r: &Request) -> Result<Value> {
        let group = self.group.as_mut().ok_or("not in a group")?;
        group.set_aad(r.authenticated_data.0.clone());
        let items = r.safe_aad.iter();
        group.set_safe_aad(
            items
                .map(|i| SafeAadItem::new(i.component, i.data.0.clone()))
                .collect(),
        )?;
        let message = group.create_message(&self.provider, &self.signer, &r.data.0)?;
        Ok(json!({ "message": b64(message.to_bytes()?) }))
    }

    fn process(&mut self, r: &Request) -> Result<Value> {
        let message = parse(&r.message)?.try_into_protocol_message()?;
        let group = self.group.as_mut().ok_or("not in a group")?;
        let processed = group.process_message(&self.provider, message)?;
        let safe_aad = processed.safe_aad_item(r.component).map(b64);
        match processed.into_content() {
            ProcessedMessageContent::UnresolvedAppDataCommit(c) => {
                let updates = app_data_updates(
                    group.app_data_dictionary_updater(),
                    c.app_data_update_proposals(),
                );
                let staged = group.stage_app_data_commit(&self.provider, *c, updates)?;
                group.merge_staged_commit(&self.provider, staged)?;
                Ok(json!({ "kind": "commit", "removed": false }))
            }
            ProcessedMessageContent::ApplicationMessage(m) => Ok(
                json!({ "kind": "application", "data": b64(m.into_bytes()), "safe_aad": safe_aad }),
            ),
            ProcessedMessageContent::ProposalMessage(p)
            | ProcessedMessageContent::ExternalJoinProposalMessage(p) => {
                group.store_pending_proposal(self.provider.storage(), *p)?;
                Ok(json!({ "kind": "proposal" }))
            }
            ProcessedMessageContent::StagedCommitMessage(c) => {
                let removed = c.self_removed();
                group.merge_staged_commit(&self.provider, *c)?;
                Ok(json!({ "kind": "commit", "removed": removed }))
            }
            _ => Err("unexpected content".into()),
        }
    }

    fn group_info(&mut self, r: &Request) -> Result<Value> {
        let group = self.group.as_mut().ok_or("not in a group")?;
        let message =
            group.export_group_info(self.provider.crypto(), &self.signer, !r.without_tree)?;
        let tree = group.export_ratchet_tree().tls_serialize_detached()?;
        Ok(json!({ "message": b64(message.to_bytes()?), "tree": b64(tree) }))
    }

    fn external_join(&mut self, r: &Request) -> Result<Value> {
        let info = parse_group_info(&r.message)?;
        let mut builder = MlsGroup::external_commit_builder().with_config(self.config(false));
        if let Some(tree) = parse_tree(&r.tree)? {
            builder = builder.with_ratchet_tree(tree);
        }
        let leaf = LeafNodeParameters::builder()
            .with_capabilities(self.capabilities())
            .build();
        let provider = &self.provider;
        let (group, bundle) = builder
            .build_group(provider, info, self.credential.clone())?
            .leaf_node_parameters(leaf)
            .load_psks(provider.storage())?
            .build(provider.rand(), provider.crypto(), &self.signer, |_| true)?
            .finalize(provider)?;
        self.group = Some(group);
        Ok(json!({ "message": b64(bundle.into_commit().to_bytes()?) }))
    }

    fn propose_join(&mut self, r: &Request) -> Result<Value> {
        let context = parse_group_info(&r.message)?;
        let bundle = self.build_key_package()?;
        let message = JoinProposal::new::<MemoryStorage>(
            bundle.key_package().clone(),
            context.group_id().clone(),
            context.epoch(),
            &self.signer,
        )?;
        Ok(json!({ "message": b64(message.to_bytes()?) }))
    }

    fn external_sender(&mut self, _: &Request) -> Result<Value> {
        let key = self.credential.signature_key.clone();
        let sender = ExternalSender::new(key, self.credential.credential.clone());
        Ok(json!({ "sender": b64(sender.tls_serialize_detached()?) }))
    }

    fn propose_from_outside(&mut self, r: &Request) -> Result<Value> {
        let info = parse_group_info(&r.message)?;
        let (id, epoch) = (info.group_id().clone(), info.epoch());
        let first = SenderExtensionIndex::new(0);
        let message = match self.proposal(&r.proposal)? {
            Propose::Add(k) => {
                ExternalProposal::new_add::<Provider>(k, id, epoch, &self.signer, first)?
            }
            Propose::Remove(index) => {
                let leaf = LeafNodeIndex::new(index);
                ExternalProposal::new_remove::<Provider>(leaf, id, epoch, &self.signer, first)?
            }
            _ => return Err("no such proposal from outside".into()),
        };
        Ok(json!({ "message": b64(message.to_bytes()?) }))
    }

    fn status(&mut self, r: &Request) -> Result<Value> {
        let group = self.group.as_ref().ok_or("not in a group")?;
        let exported =
            group.export_secret(self.provider.crypto(), &r.label, &r.context.0, r.length)?;
        let members: Vec<Value> = group
            .members()
            .map(|m| {
                json!({
                    "index": m.index.u32(),
                    "identity": b64(m.credential.serialized_content()),
                })
            })
            .collect();
        Ok(json!({
            "epoch": group.epoch().as_u64(),
            "authenticator": b64(group.epoch_authenticator().as_slice()),
            "exported": b64(exported),
            "members": members,
        }))
    }

    /// The epoch's secret of a component (draft-ietf-mls-extensions, Section 4.5).
    fn safe_export(&mut self, r: &Request) -> Result<Value> {
        let group = self.group.as_mut().ok_or("not in a group")?;
        let provider = &self.provider;
        let secret =
            group.safe_export_secret(provider.crypto(), provider.storage(), r.component)?;
        Ok(json!({ "secret": b64(secret) }))
    }

    fn app_psk(&mut self, r: &Request) -> Result<Value> {
        self.app_psk_id(r.component, &r.id)?
            .store(&self.provider, &r.secret.0)?;
        Ok(json!({}))
    }

    /// What the group keeps for a component.
    fn app_data(&mut self, r: &Request) -> Result<Value> {
        let group = self.group.as_ref().ok_or("not in a group")?;
        let dictionary = group.extensions().app_data_dictionary();
        let data = dictionary.and_then(|d| d.dictionary().get(&r.component));
        Ok(json!({ "data": data.map(b64) }))
    }
}

/// What updates make of the group's dictionary: in the live tests, each is appended to
/// what is there.
fn app_data_updates<'a>(
    mut updater: AppDataDictionaryUpdater<'_>,
    proposals: impl Iterator<Item = &'a AppDataUpdateProposal>,
) -> Option<AppDataUpdates> {
    let mut appended: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    for p in proposals {
        match p.operation() {
            AppDataUpdateOperation::Update(data) => appended
                .entry(p.component_id())
                .or_insert_with(|| {
                    updater
                        .old_value(p.component_id())
                        .unwrap_or_default()
                        .to_vec()
                })
                .extend(data.as_slice()),
            AppDataUpdateOperation::Remove => updater.remove(&p.component_id()),
        }
    }
    for (id, data) in appended {
        updater.set(ComponentData::from_parts(id, data.into()));
    }
    updater.changes()
}

fn parse(message: &Bytes) -> Result<MlsMessageIn> {
    Ok(MlsMessageIn::tls_deserialize_exact(&message.0)?)
}

fn parse_group_info(message: &Bytes) -> Result<VerifiableGroupInfo> {
    match parse(message)?.extract() {
        MlsMessageBodyIn::GroupInfo(info) => Ok(info),
        _ => Err("not a GroupInfo".into()),
    }
}

fn parse_tree(tree: &Option<Bytes>) -> Result<Option<RatchetTreeIn>> {
    let parse = |b: &Bytes| RatchetTreeIn::tls_deserialize_exact(&b.0);
    Ok(tree.as_ref().map(parse).transpose()?)
}

fn context_extensions(
    list: &[mendlink_interop_peer::Extension],
) -> Result<Extensions<GroupContext>> {
    let mut parsed = Vec::new();
    for x in list {
        let data: VLBytes = x.data.0.clone().into();
        let encoded = (x.r#type, data).tls_serialize_detached()?;
        parsed.push(Extension::tls_deserialize_exact(encoded)?);
    }
    Ok(Extensions::from_vec(parsed)?)
}

fn wire_format_policy(public: bool) -> WireFormatPolicy {
    match public {
        true => MIXED_PLAINTEXT_WIRE_FORMAT_POLICY,
        false => MIXED_CIPHERTEXT_WIRE_FORMAT_POLICY,
    }
}
