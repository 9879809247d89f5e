package mls

// The validation rules. The values of [Error.Check].
const (
	CheckApplicationPrivate Check = "application-private"
	CheckMembershipTag      Check = "membership-tag"
	CheckMessageSignature   Check = "message-signature"
	CheckConfirmationTag    Check = "confirmation-tag"
	CheckPadding            Check = "padding"
	CheckSender             Check = "sender"
	CheckSenderBlank        Check = "sender-blank"

	CheckLeafCredential           Check = "leaf-credential"
	CheckLeafSignature            Check = "leaf-signature"
	CheckLeafRequiredCapabilities Check = "leaf-required-capabilities"
	CheckLeafCredentialSupport    Check = "leaf-credential-support"
	CheckLeafLifetime             Check = "leaf-lifetime"
	CheckLeafExtensionSupport     Check = "leaf-extension-support"
	CheckLeafSource               Check = "leaf-source"
	CheckLeafEncryptionKeyNew     Check = "leaf-encryption-key-new"
	CheckLeafKeys                 Check = "leaf-keys"
	CheckLeafUnique               Check = "leaf-unique"
	CheckLeafSuiteSupport         Check = "leaf-suite-support"
	CheckContextExtensionSupport  Check = "context-extension-support"

	CheckTreeShape          Check = "tree-shape"
	CheckTreeHash           Check = "tree-hash"
	CheckParentHash         Check = "parent-hash"
	CheckUnmergedLeaves     Check = "unmerged-leaves"
	CheckTreeEncryptionKeys Check = "tree-encryption-keys"
	CheckUpdatePath         Check = "update-path"
	CheckUpdatePathKeys     Check = "update-path-keys"
	CheckPathSecret         Check = "path-secret"

	CheckKeyPackageSuite     Check = "key-package-suite"
	CheckKeyPackageSignature Check = "key-package-signature"
	CheckKeyPackageInitKey   Check = "key-package-init-key"

	CheckProposalUpdateByCommitter Check = "proposal-update-by-committer"
	CheckProposalRemovesCommitter  Check = "proposal-removes-committer"
	CheckProposalSameLeaf          Check = "proposal-same-leaf"
	CheckProposalAddTwice          Check = "proposal-add-twice"
	CheckProposalAddMember         Check = "proposal-add-member"
	CheckProposalRemoveBlank       Check = "proposal-remove-blank"
	CheckProposalPSKTwice          Check = "proposal-psk-twice"
	CheckProposalPSK               Check = "proposal-psk"
	CheckProposalPSKNonce          Check = "proposal-psk-nonce"
	CheckProposalContextTwice      Check = "proposal-context-twice"
	CheckProposalReInitAlone       Check = "proposal-reinit-alone"
	CheckProposalReInitVersion     Check = "proposal-reinit-version"
	CheckProposalExternalInit      Check = "proposal-external-init"
	CheckProposalUpdateSender      Check = "proposal-update-sender"
	CheckProposalUnknownRef        Check = "proposal-unknown-reference"
	CheckProposalFromOutside       Check = "proposal-from-outside"
	CheckExternalCommit            Check = "external-commit"
	CheckPathRequired              Check = "path-required"

	CheckWelcome                  Check = "welcome"
	CheckGroupInfoSigner          Check = "group-info-signer"
	CheckGroupInfoSignature       Check = "group-info-signature"
	CheckGroupInfoSuite           Check = "group-info-suite"
	CheckExternalPub              Check = "external-pub"
	CheckSuccessionPSK            Check = "succession-psk"
	CheckSuccessionEpoch          Check = "succession-epoch"
	CheckReInitCommit             Check = "reinit-commit"
	CheckReInitParameters         Check = "reinit-parameters"
	CheckReInitMembers            Check = "reinit-members"
	CheckBranchSuite              Check = "branch-suite"
	CheckBranchMembers            Check = "branch-members"
	CheckExtensionData            Check = "extension-data"
	CheckExternalSenderCredential Check = "external-sender-credential"
	CheckProposalSupport          Check = "proposal-support"
	CheckProposalCustom           Check = "proposal-custom"
	CheckWelcomeOwnLeaf           Check = "welcome-own-leaf"
	CheckSafeAAD                  Check = "safe-aad"
	CheckAppDataDictionary        Check = "app-data-dictionary"
)

// checkSections says where each rule is stated: a section of RFC 9420, or
// of draft-ietf-mls-extensions where the rule is the Safe API's.
var checkSections = map[Check]string{
	CheckApplicationPrivate: "RFC 9420, Section 6",
	CheckMembershipTag:      "RFC 9420, Section 6.2",
	CheckMessageSignature:   "RFC 9420, Section 6.1",
	CheckConfirmationTag:    "RFC 9420, Section 6.1",
	CheckPadding:            "RFC 9420, Section 6.3.1",
	CheckSender:             "RFC 9420, Section 6.1",
	CheckSenderBlank:        "RFC 9420, Section 6.3.2",

	CheckLeafCredential:           "RFC 9420, Section 7.3",
	CheckLeafSignature:            "RFC 9420, Section 7.3",
	CheckLeafRequiredCapabilities: "RFC 9420, Section 7.3",
	CheckLeafCredentialSupport:    "RFC 9420, Section 7.3",
	CheckLeafLifetime:             "RFC 9420, Section 7.3",
	CheckLeafExtensionSupport:     "RFC 9420, Section 7.3",
	CheckLeafSource:               "RFC 9420, Section 7.3",
	CheckLeafEncryptionKeyNew:     "RFC 9420, Section 7.3",
	CheckLeafKeys:                 "RFC 9420, Section 5.1.1",
	CheckLeafUnique:               "RFC 9420, Section 7.3",
	CheckLeafSuiteSupport:         "RFC 9420, Section 11.1",
	CheckContextExtensionSupport:  "RFC 9420, Section 13.4",

	CheckTreeShape:          "RFC 9420, Section 12.4.3.3",
	CheckTreeHash:           "RFC 9420, Section 12.4.3.1",
	CheckParentHash:         "RFC 9420, Section 7.9.2",
	CheckUnmergedLeaves:     "RFC 9420, Section 12.4.3.1",
	CheckTreeEncryptionKeys: "RFC 9420, Section 12.4.3.1",
	CheckUpdatePath:         "RFC 9420, Section 7.6",
	CheckUpdatePathKeys:     "RFC 9420, Section 12.4.2",
	CheckPathSecret:         "RFC 9420, Section 7.5",

	CheckKeyPackageSuite:     "RFC 9420, Section 10.1",
	CheckKeyPackageSignature: "RFC 9420, Section 10.1",
	CheckKeyPackageInitKey:   "RFC 9420, Section 10.1",

	CheckProposalUpdateByCommitter: "RFC 9420, Section 12.2",
	CheckProposalRemovesCommitter:  "RFC 9420, Section 12.2",
	CheckProposalSameLeaf:          "RFC 9420, Section 12.2",
	CheckProposalAddTwice:          "RFC 9420, Section 12.2",
	CheckProposalAddMember:         "RFC 9420, Section 12.2",
	CheckProposalRemoveBlank:       "RFC 9420, Section 12.1.3",
	CheckProposalPSKTwice:          "RFC 9420, Section 12.2",
	CheckProposalPSK:               "RFC 9420, Section 12.1.4",
	CheckProposalPSKNonce:          "RFC 9420, Section 12.1.4",
	CheckProposalContextTwice:      "RFC 9420, Section 12.2",
	CheckProposalReInitAlone:       "RFC 9420, Section 12.2",
	CheckProposalReInitVersion:     "RFC 9420, Section 12.1.5",
	CheckProposalExternalInit:      "RFC 9420, Section 12.2",
	CheckProposalUpdateSender:      "RFC 9420, Section 12.1.2",
	CheckProposalUnknownRef:        "RFC 9420, Section 12.4",
	CheckProposalFromOutside:       "RFC 9420, Section 12.1.8",
	CheckExternalCommit:            "RFC 9420, Section 12.2",
	CheckPathRequired:              "RFC 9420, Section 12.4",

	CheckWelcome:                  "RFC 9420, Section 12.4.3.1",
	CheckGroupInfoSigner:          "RFC 9420, Section 12.4.3.1",
	CheckGroupInfoSuite:           "RFC 9420, Section 12.4.3.1",
	CheckGroupInfoSignature:       "RFC 9420, Section 12.4.3.1",
	CheckExternalPub:              "RFC 9420, Section 12.4.3.2",
	CheckSuccessionPSK:            "RFC 9420, Section 8.6",
	CheckSuccessionEpoch:          "RFC 9420, Section 12.4.3.1",
	CheckReInitCommit:             "RFC 9420, Section 11.2",
	CheckReInitParameters:         "RFC 9420, Section 11.2",
	CheckReInitMembers:            "RFC 9420, Section 12.4.3.1",
	CheckBranchSuite:              "RFC 9420, Section 11.3",
	CheckBranchMembers:            "RFC 9420, Section 11.3",
	CheckExtensionData:            "RFC 9420, Section 13.4",
	CheckExternalSenderCredential: "RFC 9420, Section 5.3.1",
	CheckProposalSupport:          "RFC 9420, Section 12.2",
	CheckProposalCustom:           "RFC 9420, Section 13.2",
	CheckWelcomeOwnLeaf:           "RFC 9420, Section 12.4.3.1",
	CheckSafeAAD:                  "draft-ietf-mls-extensions, Section 4.9",
	CheckAppDataDictionary:        "draft-ietf-mls-extensions, Section 4.6",
}
