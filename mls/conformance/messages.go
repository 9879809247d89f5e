package conformance

import (
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/hooks"
)

// messages has an encoding of each structure. Only the syntax of them counts.
type messages struct {
	Welcome    hexBytes `json:"mls_welcome"`
	GroupInfo  hexBytes `json:"mls_group_info"`
	KeyPackage hexBytes `json:"mls_key_package"`

	RatchetTree  hexBytes `json:"ratchet_tree"`
	GroupSecrets hexBytes `json:"group_secrets"`

	Add                    hexBytes `json:"add_proposal"`
	Update                 hexBytes `json:"update_proposal"`
	Remove                 hexBytes `json:"remove_proposal"`
	PreSharedKey           hexBytes `json:"pre_shared_key_proposal"`
	ReInit                 hexBytes `json:"re_init_proposal"`
	ExternalInit           hexBytes `json:"external_init_proposal"`
	GroupContextExtensions hexBytes `json:"group_context_extensions_proposal"`

	Commit hexBytes `json:"commit"`

	PublicApplication hexBytes `json:"public_message_application"`
	PublicProposal    hexBytes `json:"public_message_proposal"`
	PublicCommit      hexBytes `json:"public_message_commit"`
	Private           hexBytes `json:"private_message"`
}

func (*messages) suiteID() ciphersuite.ID { return 0 }

func (v *messages) check(c *checker) {
	c.reencode("mls_welcome", "MLSMessage", v.Welcome)
	c.reencode("mls_group_info", "MLSMessage", v.GroupInfo)
	c.reencode("mls_key_package", "MLSMessage", v.KeyPackage)
	c.reencode("ratchet_tree", "RatchetTree", v.RatchetTree)
	c.reencode("group_secrets", "GroupSecrets", v.GroupSecrets)
	c.reencode("add_proposal", "Add", v.Add)
	c.reencode("update_proposal", "Update", v.Update)
	c.reencode("remove_proposal", "Remove", v.Remove)
	c.reencode("pre_shared_key_proposal", "PreSharedKey", v.PreSharedKey)
	c.reencode("re_init_proposal", "ReInit", v.ReInit)
	c.reencode("external_init_proposal", "ExternalInit", v.ExternalInit)
	c.reencode("group_context_extensions_proposal", "GroupContextExtensions", v.GroupContextExtensions)
	c.reencode("commit", "Commit", v.Commit)

	c.wireFormat("mls_welcome", v.Welcome, mls.WireFormatWelcome)
	c.wireFormat("mls_group_info", v.GroupInfo, mls.WireFormatGroupInfo)
	c.wireFormat("mls_key_package", v.KeyPackage, mls.WireFormatKeyPackage)
	c.message("public_message_application", v.PublicApplication, mls.WireFormatPublicMessage, mls.ContentApplication)
	c.message("public_message_proposal", v.PublicProposal, mls.WireFormatPublicMessage, mls.ContentProposal)
	c.message("public_message_commit", v.PublicCommit, mls.WireFormatPublicMessage, mls.ContentCommit)
	c.message("private_message", v.Private, mls.WireFormatPrivateMessage, 0)
}

func (c *checker) reencode(name, structure string, data []byte) {
	again, err := hooks.MLS.Reencode(structure, data)
	if c.ok(name, err) {
		c.equal(name+", encoded again", again, data)
	}
}

// wireFormat compares the wire format of an MLSMessage, which follows the
// version.
func (c *checker) wireFormat(name string, message []byte, want mls.WireFormat) {
	if c.that(len(message) > 3, "%s has %d octets", name, len(message)) {
		got := mls.WireFormat(message[2])<<8 | mls.WireFormat(message[3])
		c.that(got == want, "%s is %v, want %v", name, got, want)
	}
}

// message checks a PublicMessage or a PrivateMessage, of a given type of content
// unless that is zero.
func (c *checker) message(name string, message []byte, format mls.WireFormat, content mls.ContentType) {
	c.reencode(name, "MLSMessage", message)
	h, err := mls.ParseHeader(message)
	if c.ok("header of "+name, err) {
		c.that(h.WireFormat == format, "%s is %v, want %v", name, h.WireFormat, format)
		c.that(content == 0 || h.ContentType == content, "content of %s is %v, want %v", name, h.ContentType, content)
	}
}
