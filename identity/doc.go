// Package identity answers the question who the peer is.
//
// Use [Pinned] if you know the public keys of the peers that may connect. It is
// an [mls.AuthenticationService], which is what the Validator field of a
// connection's configuration wants:
//
//	self, err := identity.Generate(rand.Reader, "replica-7")
//	peers, err := identity.NewPinned(peerKey)
//	cfg := &netconn.Config{Identity: self, Validator: peers}
//
// There is no validator that lets everybody in: a channel always knows its peer.
//
// [Generate], [MarshalPrivateKey], [ParsePrivateKey], [MarshalPublicKey] and
// [ParsePublicKey] make keys and carry them to and from PEM files; [Fingerprint]
// names a key to humans.
package identity
