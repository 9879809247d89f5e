package channel

import "github.com/mendlink/mendlink/mls"

// An IdentitySource has identities that change while connections live, such as
// identity.Live, which reads them from files. Its methods are called by several goroutines at
// once, and must neither wait nor call those of a connection.
type IdentitySource interface {
	// Identities returns those of the moment, in the order of Config.Identity and
	// Config.Alternatives.
	Identities() []mls.Identity
	// PreviousIdentities returns those under which stored sessions may still be.
	PreviousIdentities() []mls.Identity
	// Watch has changed called after each change of the identities, and of whatever
	// the validator goes by, until stop is called.
	Watch(changed func()) (stop func())
}
