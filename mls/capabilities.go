package mls

import (
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Capabilities lists what a client supports. The proposal and extension types
// that RFC 9420 itself defines are supported by everybody and not listed.
// RFC 9420, Section 7.2.
type Capabilities struct {
	Versions     []ProtocolVersion
	CipherSuites []ciphersuite.ID
	Extensions   []ExtensionType
	Proposals    []ProposalType
	Credentials  []CredentialType
}

// clone returns a copy that shares no memory with c.
func (c *Capabilities) clone() Capabilities {
	return Capabilities{
		slices.Clone(c.Versions), slices.Clone(c.CipherSuites), slices.Clone(c.Extensions),
		slices.Clone(c.Proposals), slices.Clone(c.Credentials),
	}
}

func (c *Capabilities) encode(w *wire.Writer) {
	writeUint16s(w, c.Versions)
	writeUint16s(w, c.CipherSuites)
	writeUint16s(w, c.Extensions)
	writeUint16s(w, c.Proposals)
	writeUint16s(w, c.Credentials)
}

func (c *Capabilities) decode(r *wire.Reader) {
	c.Versions = readUint16s[ProtocolVersion](r)
	c.CipherSuites = readUint16s[ciphersuite.ID](r)
	c.Extensions = readUint16s[ExtensionType](r)
	c.Proposals = readUint16s[ProposalType](r)
	c.Credentials = readUint16s[CredentialType](r)
}

// RequiredCapabilities is the data of the GroupContext extension
// required_capabilities: what each member has to support.
// RFC 9420, Section 11.1.
type RequiredCapabilities struct {
	Extensions  []ExtensionType
	Proposals   []ProposalType
	Credentials []CredentialType
}

// Extension returns c as a GroupContext extension.
func (c *RequiredCapabilities) Extension() Extension {
	return Extension{Type: ExtensionRequiredCapabilities, Data: marshal(c)}
}

func (c *RequiredCapabilities) encode(w *wire.Writer) {
	writeUint16s(w, c.Extensions)
	writeUint16s(w, c.Proposals)
	writeUint16s(w, c.Credentials)
}

func (c *RequiredCapabilities) decode(r *wire.Reader) {
	c.Extensions = readUint16s[ExtensionType](r)
	c.Proposals = readUint16s[ProposalType](r)
	c.Credentials = readUint16s[CredentialType](r)
}

// supportsExtension reports whether extensions of type t are understood.
func (c *Capabilities) supportsExtension(t ExtensionType) bool {
	return t.isDefault() || slices.Contains(c.Extensions, t)
}

// supportsProposal reports whether proposals of type t are understood.
func (c *Capabilities) supportsProposal(t ProposalType) bool {
	return t.isDefault() || slices.Contains(c.Proposals, t)
}

// verifyTypes checks that a client does not list what everybody supports.
// Others may, and are not refused for it. RFC 9420, Section 7.2.
func (c *Capabilities) verifyTypes() error {
	if slices.ContainsFunc(c.Extensions, ExtensionType.isDefault) || slices.ContainsFunc(c.Proposals, ProposalType.isDefault) {
		return invalid(CheckLeafDefaultTypes, "the capabilities list types of extensions or proposals that RFC 9420 defines")
	}
	return nil
}

// verifySupport checks that c has what a group's protocol, cipher suite and
// GroupContext ask for. RFC 9420, Sections 7.3, 11.1 and 13.4.
func (c *Capabilities) verifySupport(s *ciphersuite.Suite, context Extensions, required RequiredCapabilities) error {
	if !slices.Contains(c.Versions, MLS10) {
		return invalid(CheckLeafVersionSupport, "version %d is not supported", MLS10)
	}
	if !slices.Contains(c.CipherSuites, s.ID()) {
		return invalid(CheckLeafSuiteSupport, "suite %v is not supported", s.ID())
	}
	for _, x := range context {
		if !c.supportsExtension(x.Type) {
			return invalid(CheckContextExtensionSupport, "GroupContext extension %#04x is not supported", uint16(x.Type))
		}
	}
	if err := c.satisfies(required); err != nil {
		return invalid(CheckLeafRequiredCapabilities, "%w", err)
	}
	return nil
}

// satisfies returns an error that names the first requirement c falls short of.
func (c *Capabilities) satisfies(required RequiredCapabilities) error {
	for _, t := range required.Extensions {
		if !c.supportsExtension(t) {
			return fmt.Errorf("extension type %#04x is required", uint16(t))
		}
	}
	for _, t := range required.Proposals {
		if !c.supportsProposal(t) {
			return fmt.Errorf("proposal type %#04x is required", uint16(t))
		}
	}
	for _, t := range required.Credentials {
		if !slices.Contains(c.Credentials, t) {
			return fmt.Errorf("credential type %#04x is required", uint16(t))
		}
	}
	return nil
}

// requiredCapabilities returns what a GroupContext's extensions require.
func requiredCapabilities(context Extensions) (required RequiredCapabilities, err error) {
	if data, ok := context.Find(ExtensionRequiredCapabilities); ok {
		return parseRequiredCapabilities(data)
	}
	return required, nil
}

func parseRequiredCapabilities(data []byte) (required RequiredCapabilities, err error) {
	if err := unmarshal(data, &required); err != nil {
		return required, invalid(CheckRequiredCapabilitiesFormat, "%w", err)
	}
	return required, nil
}
