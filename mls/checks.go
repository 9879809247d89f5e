package mls

// The validation rules: the values of [Error.Check]. Each is checked in one
// function; docs/validation.md lists them with that function, and with the test
// that breaks the rule.
const (
	// Application data is in a PrivateMessage.
	CheckApplicationPrivate Check = "application-private"
	// A message's signature is valid under the key of its sender.
	CheckMessageSignature Check = "message-signature"
	// An external sender sends a proposal, of a type that is allowed to it.
	CheckExternalSenderContent Check = "external-sender-content"
	// An external sender is one of the group's external_senders.
	CheckExternalSenderIndex Check = "external-sender-index"
	// A proposal of a new member is an Add.
	CheckNewMemberProposalContent Check = "new-member-proposal-content"
	// An external commit is a commit.
	CheckNewMemberCommitContent Check = "new-member-commit-content"
	// A commit's confirmation tag is that of the epoch that it leads to.
	CheckConfirmationTag Check = "confirmation-tag"
	// The membership tag of a member's PublicMessage is valid.
	CheckMembershipTag Check = "membership-tag"
	// The padding of a PrivateMessage is zero.
	CheckPadding Check = "padding"
	// The leaf of a sender who is a member is not blank.
	CheckSenderBlank Check = "sender-blank"
	// authenticated_data is a SafeAAD where the GroupContext asks for that.
	CheckSafeAAD Check = "safe-aad"

	// The Authentication Service accepts a leaf, as a successor of the leaf
	// that it replaces.
	CheckLeafCredential Check = "leaf-credential"
	// A leaf's signature is valid under its signature_key.
	CheckLeafSignature Check = "leaf-signature"
	// A leaf's encryption_key is a key of the cipher suite.
	CheckLeafEncryptionKey Check = "leaf-encryption-key"
	// A leaf's signature_key is a key of the cipher suite.
	CheckLeafSignatureKey Check = "leaf-signature-key"
	// A leaf supports what the extension required_capabilities lists.
	CheckLeafRequiredCapabilities Check = "leaf-required-capabilities"
	// A leaf supports the type of its own credential.
	CheckLeafCredentialOwn Check = "leaf-credential-own"
	// A leaf supports the types of all other members' credentials.
	CheckLeafCredentialSupport Check = "leaf-credential-support"
	// The current time lies in a leaf's lifetime.
	CheckLeafLifetime Check = "leaf-lifetime"
	// A leaf's lifetime is not longer than Config.MaxLifetime.
	CheckLeafLifetimeLength Check = "leaf-lifetime-length"
	// A leaf supports its own extensions.
	CheckLeafExtensionSupport Check = "leaf-extension-support"
	// leaf_node_source fits where a leaf comes from.
	CheckLeafSource Check = "leaf-source"
	// A leaf's encryption_key differs from that of the leaf that it replaces.
	CheckLeafEncryptionKeyNew Check = "leaf-encryption-key-new"
	// No two members have the same signature_key.
	CheckLeafSignatureKeyUnique Check = "leaf-signature-key-unique"
	// No two members have the same encryption_key.
	CheckLeafEncryptionKeyUnique Check = "leaf-encryption-key-unique"
	// A leaf supports the group's protocol version.
	CheckLeafVersionSupport Check = "leaf-version-support"
	// A leaf supports the group's cipher suite.
	CheckLeafSuiteSupport Check = "leaf-suite-support"
	// A client's own capabilities do not list default types.
	CheckLeafDefaultTypes Check = "leaf-default-types"

	// A multi-credential is well-formed and has at least one binding, and no more
	// than MaxCredentialBindings, of which none holds a multi-credential.
	CheckMultiCredential Check = "multi-credential"
	// The signature of a credential binding is valid under its credential_key,
	// for the signature_key of the leaf.
	CheckCredentialBinding Check = "credential-binding"
	// A leaf supports the cipher suites and types of all bindings in the multi
	// credentials of all members.
	CheckMultiCredentialSupport Check = "multi-credential-support"
	// A leaf supports one binding of each member's weak-multi credential.
	CheckWeakMultiCredentialSupport Check = "weak-multi-credential-support"

	// A list of extensions holds each type once.
	CheckExtensionTwice Check = "extension-twice"
	// The data of an extension is what its type asks for.
	CheckExtensionData Check = "extension-data"
	// A member supports each extension of the GroupContext.
	CheckContextExtensionSupport Check = "context-extension-support"
	// The extension required_capabilities is well-formed.
	CheckRequiredCapabilitiesFormat Check = "required-capabilities-format"
	// The extension external_senders is well-formed.
	CheckExternalSendersFormat Check = "external-senders-format"
	// The signature_key of an external sender is a key of the cipher suite.
	CheckExternalSenderKey Check = "external-sender-key"
	// The Authentication Service accepts an external sender.
	CheckExternalSenderCredential Check = "external-sender-credential"
	// The extension app_data_dictionary is well-formed and in order.
	CheckAppDataDictionary Check = "app-data-dictionary"
	// A ComponentsList is well-formed.
	CheckComponentsList Check = "components-list"

	// The entry of a component in a dictionary is what the component accepts there.
	CheckComponentData Check = "component-data"
	// An AppDataUpdate is for a component that the client knows.
	CheckAppDataUpdateComponent Check = "app-data-update-component"
	// A commit covers one AppDataUpdate that removes a component's entry, or
	// such that update it.
	CheckAppDataUpdateList Check = "app-data-update-list"
	// An AppDataUpdate removes an entry that is there.
	CheckAppDataUpdateRemove Check = "app-data-update-remove"
	// A component accepts what the AppDataUpdates of a commit do to its entry.
	CheckAppDataUpdateData Check = "app-data-update-data"
	// A GroupContextExtensions proposal leaves the app_data_dictionary as it is
	// where the group requires support of AppDataUpdate.
	CheckContextDictionary Check = "context-dictionary"
	// An AppEphemeral is for a component that the client knows.
	CheckAppEphemeralComponent Check = "app-ephemeral-component"
	// The data of an AppEphemeral is what its component accepts.
	CheckAppEphemeralData Check = "app-ephemeral-data"
	// The extensions supported_wire_formats and required_wire_formats are
	// well-formed.
	CheckWireFormats Check = "wire-formats"
	// A leaf supports the wire formats that required_wire_formats lists.
	CheckLeafWireFormats Check = "leaf-wire-formats"
	// A leaf supports the components that the GroupContext's app_components lists.
	CheckComponentsSupport Check = "components-support"
	// A leaf supports the components that the GroupContext's safe_aad lists.
	CheckSafeAADSupport Check = "safe-aad-support"
	// A leaf can receive the media types that the GroupContext lists.
	CheckMediaTypesSupport Check = "media-types-support"
	// A media type is a type and a subtype, and its parameters have names.
	CheckMediaType Check = "media-type"
	// A MediaTypeList is not empty.
	CheckMediaTypeList Check = "media-type-list"
	// Application data is an ApplicationFraming where the GroupContext asks for that.
	CheckApplicationFraming Check = "application-framing"
	// The ranges of an AppAck are well-formed, and none ends before it begins.
	CheckAppAck Check = "app-ack"

	// A key package is for the group's protocol version.
	CheckKeyPackageVersion Check = "key-package-version"
	// A key package is for the group's cipher suite.
	CheckKeyPackageSuite Check = "key-package-suite"
	// A key package's signature is valid under its leaf's signature_key.
	CheckKeyPackageSignature Check = "key-package-signature"
	// A key package's init_key is a key of the cipher suite.
	CheckKeyPackageInitKey Check = "key-package-init-key"
	// A key package's init_key differs from its leaf's encryption_key.
	CheckKeyPackageInitKeyReuse Check = "key-package-init-key-reuse"
	// The extensions of a key package of one's own are among its capabilities.
	CheckKeyPackageExtensionSupport Check = "key-package-extension-support"

	// The mark of a key package of last resort has no data. The key package
	// itself is not refused for it: who asks about the mark learns of it.
	CheckLastResort Check = "last-resort"

	// The nonce of a PreSharedKey proposal has KDF.Nh octets.
	CheckProposalPSKNonce Check = "proposal-psk-nonce"
	// A PSK of usage reinit occurs where a group is re-initialized only.
	CheckProposalPSKReInit Check = "proposal-psk-reinit"
	// A PSK of usage branch occurs where a group branches off only.
	CheckProposalPSKBranch Check = "proposal-psk-branch"
	// The version of a ReInit is not lower than the group's.
	CheckProposalReInitVersion Check = "proposal-reinit-version"
	// A Remove removes a member.
	CheckProposalRemoveBlank Check = "proposal-remove-blank"
	// A commit does not cover an Update of the committer.
	CheckProposalUpdateByCommitter Check = "proposal-update-by-committer"
	// A commit does not remove the committer.
	CheckProposalRemovesCommitter Check = "proposal-removes-committer"
	// A commit updates or removes a leaf at most once.
	CheckProposalSameLeaf Check = "proposal-same-leaf"
	// A commit adds a client once.
	CheckProposalAddTwice Check = "proposal-add-twice"
	// A commit does not add a member of the group, unless it removes that.
	CheckProposalAddMember Check = "proposal-add-member"
	// A commit names a PSK once.
	CheckProposalPSKTwice Check = "proposal-psk-twice"
	// A commit covers at most one GroupContextExtensions.
	CheckProposalContextTwice Check = "proposal-context-twice"
	// A commit with a ReInit covers nothing else.
	CheckProposalReInitAlone Check = "proposal-reinit-alone"
	// ExternalInit is in external commits only.
	CheckProposalExternalInit Check = "proposal-external-init"
	// All who process a commit support the types of its proposals.
	CheckProposalSupport Check = "proposal-support"
	// A proposal of a custom type is what the application accepts.
	CheckProposalCustom Check = "proposal-custom"
	// A commit refers to proposals that were sent in its epoch.
	CheckProposalUnknownRef Check = "proposal-unknown-reference"
	// A commit has a path unless its proposals allow to leave it out.
	CheckPathRequired Check = "path-required"

	// SelfRemove is in PublicMessages only.
	CheckSelfRemovePublic Check = "self-remove-public"
	// SelfRemove is in commits by reference only.
	CheckSelfRemoveReference Check = "self-remove-reference"
	// SelfRemove is sent in groups whose members all support it.
	CheckSelfRemoveSupport Check = "self-remove-support"
	// A client sends at most one SelfRemove in an epoch.
	CheckSelfRemoveTwice Check = "self-remove-twice"

	// An external commit has exactly one ExternalInit.
	CheckExternalCommitInit Check = "external-commit-init"
	// An external commit has at most one Remove.
	CheckExternalCommitRemove Check = "external-commit-remove"
	// An external commit has no proposals of other types than it may have.
	CheckExternalCommitProposal Check = "external-commit-proposal"
	// An external commit has no proposals by reference but SelfRemoves.
	CheckExternalCommitReference Check = "external-commit-reference"
	// An external commit has a path.
	CheckExternalCommitPath Check = "external-commit-path"
	// The KEM output of an ExternalInit is one of the cipher suite's KEM.
	CheckExternalInitKEM Check = "external-init-kem"

	// An update path has one node for each of the filtered direct path.
	CheckUpdatePathLength Check = "update-path-length"
	// A node of an update path has one ciphertext for each node of the
	// resolution of its copath child, new members left out.
	CheckUpdatePathCiphertexts Check = "update-path-ciphertexts"
	// The keys of an update path are keys of the cipher suite.
	CheckUpdatePathKey Check = "update-path-key"
	// The keys of an update path are not in the tree yet, and differ.
	CheckUpdatePathKeyUnique Check = "update-path-key-unique"
	// The parent_hash of a committer's leaf is that of its path.
	CheckCommitParentHash Check = "commit-parent-hash"
	// The keys of a path are those that its path secrets give.
	CheckPathSecret Check = "path-secret"

	// There is a ratchet tree, in the GroupInfo or apart from it.
	CheckTreeMissing Check = "tree-missing"
	// Leaves and parents of an encoded tree are in their places.
	CheckTreeNodeType Check = "tree-node-type"
	// The last node of an encoded tree is not blank.
	CheckTreeTrailingBlank Check = "tree-trailing-blank"
	// The tree has the tree_hash of the GroupInfo.
	CheckTreeHash Check = "tree-hash"
	// A parent is vouched for by exactly one of its descendants.
	CheckParentHash Check = "parent-hash"
	// The entries of unmerged_leaves are in increasing order.
	CheckUnmergedLeavesOrder Check = "unmerged-leaves-order"
	// The entries of unmerged_leaves are members below the parent.
	CheckUnmergedLeavesMembers Check = "unmerged-leaves-members"
	// A leaf that is unmerged at a parent is so at all parents between them.
	CheckUnmergedLeavesPath Check = "unmerged-leaves-path"
	// A parent's encryption_key is a key of the cipher suite.
	CheckTreeKey Check = "tree-key"
	// A parent's encryption_key is in no other node of the tree.
	CheckTreeKeyUnique Check = "tree-key-unique"

	// A Welcome is for the key package with which it is used.
	CheckWelcomeKeyPackage Check = "welcome-key-package"
	// A Welcome has the cipher suite of the key package.
	CheckWelcomeSuite Check = "welcome-suite"
	// The nonces of a Welcome's PSKs have KDF.Nh octets.
	CheckWelcomePSKNonce Check = "welcome-psk-nonce"
	// A Welcome names at most one PSK of usage reinit or branch, and that is
	// of the group which the client expects to continue.
	CheckWelcomePSKUsage Check = "welcome-psk-usage"
	// The leaf of the key package is in the tree.
	CheckWelcomeOwnLeaf Check = "welcome-own-leaf"
	// A client is in one group of a group_id only.
	CheckGroupIDUnique Check = "group-id-unique"
	// A Welcome with a path secret is to a group with a parent for it.
	CheckWelcomePathSecret Check = "welcome-path-secret"
	// The signer of a GroupInfo is a member.
	CheckGroupInfoSigner Check = "group-info-signer"
	// A GroupInfo's signature is valid under its signer's key.
	CheckGroupInfoSignature Check = "group-info-signature"
	// A GroupInfo has the cipher suite of the key package.
	CheckGroupInfoSuite Check = "group-info-suite"
	// A GroupInfo's confirmation tag is that of its epoch.
	CheckGroupInfoConfirmationTag Check = "group-info-confirmation-tag"
	// The GroupInfo for an external commit has a usable external_pub.
	CheckExternalPub Check = "external-pub"

	// A group that continues another is joined in epoch 1.
	CheckSuccessionEpoch Check = "succession-epoch"
	// The last commit of a group that is re-initialized has a ReInit.
	CheckReInitCommit Check = "reinit-commit"
	// A re-initialized group has the group_id of the ReInit.
	CheckReInitGroupID Check = "reinit-group-id"
	// A re-initialized group has the version of the ReInit.
	CheckReInitVersion Check = "reinit-version"
	// A re-initialized group has the cipher suite of the ReInit.
	CheckReInitSuite Check = "reinit-suite"
	// A re-initialized group has the extensions of the ReInit.
	CheckReInitExtensions Check = "reinit-extensions"
	// All members of a group are members after its re-initialization.
	CheckReInitMembers Check = "reinit-members"
	// A branch has the cipher suite of the group that it branches off from.
	CheckBranchSuite Check = "branch-suite"
	// All members of a branch are members of the group that it branches off from.
	CheckBranchMembers Check = "branch-members"
)

// The rules of draft-mahy-mls-sd-cwt-credential.
const (
	// An sd_jwt credential is an SD-JWT with a key binding JWT.
	CheckCredentialSDJWT Check = "credential-sd-jwt"
)

// Of draft-ietf-mls-combiner: pairs of groups.
const (
	// The APQInfo of a group is there and well-formed.
	CheckAPQInfo Check = "apq-info"
	// Both groups of a pair have the same APQInfo.
	CheckAPQInfoEqual Check = "apq-info-equal"
	// The APQInfo names the two groups.
	CheckAPQGroups Check = "apq-groups"
	// The APQInfo names the two groups' cipher suites.
	CheckAPQInfoSuites Check = "apq-info-suites"
	// After a full commit, the APQInfo names the epochs that it has led to.
	CheckAPQEpochs Check = "apq-epochs"
	// The KEM of the traditional group is a traditional one.
	CheckAPQTraditional Check = "apq-traditional"
	// The KEM of the post-quantum group has no traditional part.
	CheckAPQPure Check = "apq-pure"
	// The signatures of the post-quantum group are post-quantum ones where the
	// mode asks for that.
	CheckAPQSignatures Check = "apq-signatures"
	// The APQInfo is not removed.
	CheckAPQRemove Check = "apq-remove"
	// An APQInfoUpdate is well-formed.
	CheckAPQUpdateFormat Check = "apq-update-format"
	// A commit has one full update of the APQInfo, or one update of each epoch.
	CheckAPQUpdateList Check = "apq-update-list"
	// The first full commit has a full update of the APQInfo.
	CheckAPQFirstUpdate Check = "apq-first-update"
	// All of the APQInfo but the epochs stays the same.
	CheckAPQImmutable Check = "apq-immutable"
	// Both groups of a pair require support of pairs of messages.
	CheckAPQWireFormats Check = "apq-wire-formats"
	// Both groups of a pair have as many members.
	CheckAPQMembers Check = "apq-members"
	// A leaf is of the same client in both groups of a pair.
	CheckAPQClient Check = "apq-client"
	// A commit in the traditional group alone changes neither who is a member
	// nor the APQInfo.
	CheckAPQPartial Check = "apq-partial"
	// What waits for a commit changes neither who is a member nor the APQInfo.
	CheckAPQProposal Check = "apq-proposal"
	// The traditional half of a full commit, and a Welcome to the traditional
	// group, has the key of the post-quantum group's new epoch, and no other.
	CheckAPQPSK Check = "apq-psk"
	// The post-quantum half of a full commit has no key of a pair.
	CheckAPQPSKPlace Check = "apq-psk-place"
	// The halves of a pair are of one kind and from one sender.
	CheckAPQHalves Check = "apq-halves"
	// Nothing but a full commit changes the post-quantum group.
	CheckAPQAlone Check = "apq-alone"
	// A pair of messages holds no pairs.
	CheckAPQPairNested Check = "apq-pair-nested"
	// The messages of a pair are of the format that the pair names.
	CheckAPQPairFormat Check = "apq-pair-format"
	// A pair of messages holds no application data.
	CheckAPQPairApplication Check = "apq-pair-application"
	// Targeted messages.
	// A targeted message is for the member that processes it.
	CheckTargetedRecipient Check = "targeted-recipient"
	// The leaf of a targeted message's sender is not blank.
	CheckTargetedSender Check = "targeted-sender"
	// A targeted message's signature is valid under the key of its sender, before
	// anything is decrypted.
	CheckTargetedSignature Check = "targeted-signature"
	// The padding of a targeted message is zero.
	CheckTargetedPadding Check = "targeted-padding"
	// The recipients of a message to several are in increasing order, each once.
	CheckMultiTargetedRecipients Check = "multi-targeted-recipients"
	// A message to several has one sealed key for each recipient.
	CheckMultiTargetedKeys Check = "multi-targeted-keys"
	// The sealed key of a message to several is the one that it commits to.
	CheckMultiTargetedCommitment Check = "multi-targeted-commitment"
)

// Fewer signatures.
const (
	// The leaf of a key package with one signature has the hash of what is around it.
	CheckOuterKeyPackageHash Check = "outer-key-package-hash"
	// The hash of a key package is in leaves of key packages only.
	CheckOuterKeyPackageHashSource Check = "outer-key-package-hash-source"
	// Members understand key packages with one signature where one is added.
	CheckOneSignatureSupport Check = "one-signature-support"
	// A message with one signature is an Update of a member.
	CheckOneSignatureContent Check = "one-signature-content"
	// An Update with one signature keeps the signature key.
	CheckOneSignatureKey Check = "one-signature-key"
	// The leaf of an Update with one signature has the hash of what is around it.
	CheckOuterUpdateHash Check = "outer-update-hash"
)

// checkSections says where each rule is stated: a section of RFC 9420, or
// of the document that an extension is from.
var checkSections = map[Check]string{
	CheckApplicationPrivate:       "RFC 9420, Section 6",
	CheckMessageSignature:         "RFC 9420, Section 6.1",
	CheckExternalSenderContent:    "RFC 9420, Section 12.1.8",
	CheckExternalSenderIndex:      "RFC 9420, Section 12.1.8",
	CheckNewMemberProposalContent: "RFC 9420, Section 6.1",
	CheckNewMemberCommitContent:   "RFC 9420, Section 6.1",
	CheckConfirmationTag:          "RFC 9420, Section 12.4.2",
	CheckMembershipTag:            "RFC 9420, Section 6.2",
	CheckPadding:                  "RFC 9420, Section 6.3.1",
	CheckSenderBlank:              "RFC 9420, Section 6.3.2",
	CheckSafeAAD:                  "draft-ietf-mls-extensions, Section 4.9",

	CheckLeafCredential:           "RFC 9420, Section 7.3",
	CheckLeafSignature:            "RFC 9420, Section 7.3",
	CheckLeafEncryptionKey:        "RFC 9420, Section 5.1.1",
	CheckLeafSignatureKey:         "RFC 9420, Section 5.1.1",
	CheckLeafRequiredCapabilities: "RFC 9420, Section 7.3",
	CheckLeafCredentialOwn:        "RFC 9420, Section 7.3",
	CheckLeafCredentialSupport:    "RFC 9420, Section 7.3",
	CheckLeafLifetime:             "RFC 9420, Section 7.3",
	CheckLeafLifetimeLength:       "RFC 9420, Section 7.2",
	CheckLeafExtensionSupport:     "RFC 9420, Section 7.3",
	CheckLeafSource:               "RFC 9420, Section 7.3",
	CheckLeafEncryptionKeyNew:     "RFC 9420, Section 7.3",
	CheckLeafSignatureKeyUnique:   "RFC 9420, Section 7.3",
	CheckLeafEncryptionKeyUnique:  "RFC 9420, Section 7.3",
	CheckLeafVersionSupport:       "RFC 9420, Section 11.1",
	CheckLeafSuiteSupport:         "RFC 9420, Section 11.1",
	CheckLeafDefaultTypes:         "RFC 9420, Section 7.2",

	CheckMultiCredential:            "draft-ietf-mls-extensions, Section 6.5",
	CheckCredentialBinding:          "draft-ietf-mls-extensions, Section 6.5.2",
	CheckMultiCredentialSupport:     "draft-ietf-mls-extensions, Section 6.5.2",
	CheckWeakMultiCredentialSupport: "draft-ietf-mls-extensions, Section 6.5.2",

	CheckExtensionTwice:             "RFC 9420, Section 13.4",
	CheckExtensionData:              "RFC 9420, Section 13.4",
	CheckContextExtensionSupport:    "RFC 9420, Section 13.4",
	CheckRequiredCapabilitiesFormat: "RFC 9420, Section 11.1",
	CheckExternalSendersFormat:      "RFC 9420, Section 12.1.8.1",
	CheckExternalSenderKey:          "RFC 9420, Section 12.1.8.1",
	CheckExternalSenderCredential:   "RFC 9420, Section 5.3.1",
	CheckAppDataDictionary:          "draft-ietf-mls-extensions, Section 4.6",
	CheckComponentsList:             "draft-ietf-mls-extensions, Section 5",

	CheckComponentData:          "draft-ietf-mls-extensions, Section 4.6",
	CheckAppDataUpdateComponent: "draft-ietf-mls-extensions, Section 4.7",
	CheckAppDataUpdateList:      "draft-ietf-mls-extensions, Section 4.7",
	CheckAppDataUpdateRemove:    "draft-ietf-mls-extensions, Section 4.7",
	CheckAppDataUpdateData:      "draft-ietf-mls-extensions, Section 4.7",
	CheckContextDictionary:      "draft-ietf-mls-extensions, Section 4.7",
	CheckAppEphemeralComponent:  "draft-ietf-mls-extensions, Section 4.8",
	CheckAppEphemeralData:       "draft-ietf-mls-extensions, Section 4.8",
	CheckComponentsSupport:      "draft-ietf-mls-extensions, Section 5",
	CheckSafeAADSupport:         "draft-ietf-mls-extensions, Section 5",
	CheckMediaTypesSupport:      "draft-ietf-mls-extensions, Section 6.2.3",
	CheckMediaType:              "draft-ietf-mls-extensions, Section 6.2.2",
	CheckMediaTypeList:          "draft-ietf-mls-extensions, Section 6.2.2",
	CheckApplicationFraming:     "draft-ietf-mls-extensions, Section 6.2.4",
	CheckAppAck:                 "draft-ietf-mls-extensions, Section 6.1",

	CheckWireFormats:     "draft-ietf-mls-extensions, Section 5",
	CheckLeafWireFormats: "draft-ietf-mls-extensions, Section 5",

	CheckKeyPackageVersion:          "RFC 9420, Section 10.1",
	CheckKeyPackageSuite:            "RFC 9420, Section 10.1",
	CheckKeyPackageSignature:        "RFC 9420, Section 10.1",
	CheckKeyPackageInitKey:          "RFC 9420, Section 10",
	CheckKeyPackageInitKeyReuse:     "RFC 9420, Section 10.1",
	CheckKeyPackageExtensionSupport: "RFC 9420, Section 10",

	CheckLastResort: "draft-ietf-mls-extensions, Section 6.4.2",

	CheckProposalPSKNonce:          "RFC 9420, Section 12.1.4",
	CheckProposalPSKReInit:         "RFC 9420, Section 11.2",
	CheckProposalPSKBranch:         "RFC 9420, Section 11.3",
	CheckProposalReInitVersion:     "RFC 9420, Section 12.1.5",
	CheckProposalRemoveBlank:       "RFC 9420, Section 12.1.3",
	CheckProposalUpdateByCommitter: "RFC 9420, Section 12.2",
	CheckProposalRemovesCommitter:  "RFC 9420, Section 12.2",
	CheckProposalSameLeaf:          "RFC 9420, Section 12.2",
	CheckProposalAddTwice:          "RFC 9420, Section 12.2",
	CheckProposalAddMember:         "RFC 9420, Section 12.2",
	CheckProposalPSKTwice:          "RFC 9420, Section 12.2",
	CheckProposalContextTwice:      "RFC 9420, Section 12.2",
	CheckProposalReInitAlone:       "RFC 9420, Section 12.2",
	CheckProposalExternalInit:      "RFC 9420, Section 12.2",
	CheckProposalSupport:           "RFC 9420, Section 12.2",
	CheckProposalCustom:            "RFC 9420, Section 12.2",
	CheckProposalUnknownRef:        "RFC 9420, Section 12.4",
	CheckPathRequired:              "RFC 9420, Section 12.4",

	CheckSelfRemovePublic:    "draft-ietf-mls-extensions, Section 6.3.1",
	CheckSelfRemoveReference: "draft-ietf-mls-extensions, Section 6.3.1",
	CheckSelfRemoveSupport:   "draft-ietf-mls-extensions, Section 6.3.1",
	CheckSelfRemoveTwice:     "draft-ietf-mls-extensions, Section 6.3.1",

	CheckExternalCommitInit:      "RFC 9420, Section 12.2",
	CheckExternalCommitRemove:    "RFC 9420, Section 12.2",
	CheckExternalCommitProposal:  "RFC 9420, Section 12.2",
	CheckExternalCommitReference: "RFC 9420, Section 12.4.3.2",
	CheckExternalCommitPath:      "RFC 9420, Section 12.4.3.2",
	CheckExternalInitKEM:         "RFC 9420, Section 8.3",

	CheckUpdatePathLength:      "RFC 9420, Section 7.6",
	CheckUpdatePathCiphertexts: "RFC 9420, Section 7.6",
	CheckUpdatePathKey:         "RFC 9420, Section 5.1.1",
	CheckUpdatePathKeyUnique:   "RFC 9420, Section 12.4.2",
	CheckCommitParentHash:      "RFC 9420, Section 7.9.2",
	CheckPathSecret:            "RFC 9420, Section 7.5",

	CheckTreeMissing:           "RFC 9420, Section 12.4.3.1",
	CheckTreeNodeType:          "RFC 9420, Section 12.4.3.3",
	CheckTreeTrailingBlank:     "RFC 9420, Section 12.4.3.3",
	CheckTreeHash:              "RFC 9420, Section 12.4.3.1",
	CheckParentHash:            "RFC 9420, Section 7.9.2",
	CheckUnmergedLeavesOrder:   "RFC 9420, Section 7.1",
	CheckUnmergedLeavesMembers: "RFC 9420, Section 12.4.3.1",
	CheckUnmergedLeavesPath:    "RFC 9420, Section 12.4.3.1",
	CheckTreeKey:               "RFC 9420, Section 5.1.1",
	CheckTreeKeyUnique:         "RFC 9420, Section 12.4.3.1",

	CheckWelcomeKeyPackage:        "RFC 9420, Section 12.4.3.1",
	CheckWelcomeSuite:             "RFC 9420, Section 12.4.3.1",
	CheckWelcomePSKNonce:          "RFC 9420, Section 8.4",
	CheckWelcomePSKUsage:          "RFC 9420, Section 12.4.3.1",
	CheckWelcomeOwnLeaf:           "RFC 9420, Section 12.4.3.1",
	CheckGroupIDUnique:            "RFC 9420, Section 12.4.3.1",
	CheckWelcomePathSecret:        "RFC 9420, Section 12.4.3.1",
	CheckGroupInfoSigner:          "RFC 9420, Section 12.4.3.1",
	CheckGroupInfoSignature:       "RFC 9420, Section 12.4.3.1",
	CheckGroupInfoSuite:           "RFC 9420, Section 12.4.3.1",
	CheckGroupInfoConfirmationTag: "RFC 9420, Section 12.4.3.1",
	CheckExternalPub:              "RFC 9420, Section 12.4.3.2",

	CheckSuccessionEpoch:  "RFC 9420, Section 12.4.3.1",
	CheckReInitCommit:     "RFC 9420, Section 12.4.3.1",
	CheckReInitGroupID:    "RFC 9420, Section 11.2",
	CheckReInitVersion:    "RFC 9420, Section 11.2",
	CheckReInitSuite:      "RFC 9420, Section 11.2",
	CheckReInitExtensions: "RFC 9420, Section 11.2",
	CheckReInitMembers:    "RFC 9420, Section 12.4.3.1",
	CheckBranchSuite:      "RFC 9420, Section 11.3",
	CheckBranchMembers:    "RFC 9420, Section 11.3",

	CheckCredentialSDJWT: "draft-mahy-mls-sd-cwt-credential, Section 3.2",

	CheckAPQInfo:                 "draft-ietf-mls-combiner, Section 5.1",
	CheckAPQInfoEqual:            "draft-ietf-mls-combiner, Section 5.1.2",
	CheckAPQGroups:               "draft-ietf-mls-combiner, Section 3.2.1",
	CheckAPQInfoSuites:           "draft-ietf-mls-combiner, Section 5.1.1",
	CheckAPQEpochs:               "draft-ietf-mls-combiner, Section 5.1.1",
	CheckAPQTraditional:          "draft-ietf-mls-combiner, Section 7.1",
	CheckAPQPure:                 "draft-ietf-mls-combiner, Section 7.1.1",
	CheckAPQSignatures:           "draft-ietf-mls-combiner, Section 7.1.2",
	CheckAPQRemove:               "draft-ietf-mls-combiner, Section 5.1.1",
	CheckAPQUpdateFormat:         "draft-ietf-mls-combiner, Section 5.1.1",
	CheckAPQUpdateList:           "draft-ietf-mls-combiner, Section 5.1.1",
	CheckAPQFirstUpdate:          "draft-ietf-mls-combiner, Section 5.1.1",
	CheckAPQImmutable:            "draft-ietf-mls-combiner, Section 5.1.1",
	CheckAPQWireFormats:          "draft-ietf-mls-combiner, Section 6",
	CheckAPQMembers:              "draft-ietf-mls-combiner, Section 3.2.1",
	CheckAPQClient:               "draft-ietf-mls-combiner, Section 3.2.1",
	CheckAPQPartial:              "draft-ietf-mls-combiner, Section 3",
	CheckAPQProposal:             "draft-ietf-mls-combiner, Section 3",
	CheckAPQPSK:                  "draft-ietf-mls-combiner, Section 5.2",
	CheckAPQPSKPlace:             "draft-ietf-mls-combiner, Section 5.2",
	CheckAPQHalves:               "draft-ietf-mls-combiner, Section 3.1",
	CheckAPQAlone:                "draft-ietf-mls-combiner, Section 3.1",
	CheckAPQPairNested:           "draft-ietf-mls-combiner, Section 6",
	CheckAPQPairFormat:           "draft-ietf-mls-combiner, Section 6",
	CheckAPQPairApplication:      "draft-ietf-mls-combiner, Section 6",
	CheckTargetedRecipient:       "draft-ietf-mls-targeted-messages-02, Section 7",
	CheckTargetedSender:          "draft-ietf-mls-targeted-messages-02, Section 7",
	CheckTargetedSignature:       "draft-ietf-mls-targeted-messages-02, Section 7",
	CheckTargetedPadding:         "draft-ietf-mls-targeted-messages-02, Section 6.1",
	CheckMultiTargetedRecipients: "docs/extensions.md, Messages to several members",
	CheckMultiTargetedKeys:       "docs/extensions.md, Messages to several members",
	CheckMultiTargetedCommitment: "docs/extensions.md, Messages to several members",

	CheckOuterKeyPackageHash:       "draft-kohbrok-mls-fewer-signatures-00, Section 3.3",
	CheckOuterKeyPackageHashSource: "draft-kohbrok-mls-fewer-signatures-00, Section 3.2",
	CheckOneSignatureSupport:       "docs/extensions.md, Fewer signatures",
	CheckOneSignatureContent:       "draft-kohbrok-mls-fewer-signatures-00, Section 4.5",
	CheckOneSignatureKey:           "draft-kohbrok-mls-fewer-signatures-00, Section 4.5",
	CheckOuterUpdateHash:           "draft-kohbrok-mls-fewer-signatures-00, Section 4.5",
}
