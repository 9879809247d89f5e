// Package identity answers the question who the peer is, and who one is oneself.
//
// Who the peer may be is up to a validator, the Validator of a connection's configuration.
// There is one for each way to know a peer:
//
//	Pinned        by its public key, which is in the program's hands: NewPinned
//	KnownHosts    by its public key under its name in a file; what is new is refused, or
//	              listed by an explicit choice: OpenKnownHosts
//	X509          by a certificate of an authority that one trusts, for a host name or a
//	              SPIFFE ID: NewX509Validator
//
// None lets everybody in: a channel always knows its peer. SPIFFE's Workload API is in the nested module
// identity/spiffe, and peers with web tokens (SD-JWT, SD-CWT) in identity/webtoken.
//
// One's own identity is a credential and a key: [Generate] makes one, [KeyPair] reads
// one with a certificate from files. The key may be any [crypto.Signer]: [New] and [NewX509] take
// one, package identity/sshagent has those of an agent, and the libraries for PKCS #11 tokens and key
// management services give such values. Ed25519 and ECDSA on P-256, P-384 and P-521 go with the suites.
//
// # What is in files goes on while connections live
//
// Short-lived certificates are renewed long before a connection ends. [Open] makes a [Live] of the
// files, and nobody has to be told of anything again:
//
//	tls.crt, tls.key      ca.crt          revoked
//	      |                  |                |          looked at again and again;
//	      v                  v                v          half-written files change nothing
//	.----------------------- Live -----------------------.
//	| Identities()        RootsFor()      Revoked()      |
//	'-----|------------------|----------------|--- Watch-'
//	      |                  v                v       |
//	      |                 X509  <- Names (server name, SPIFFE ID)
//	      v                  |                        |
//	netconn.Config{Identities, Validator, Refused}    |
//	      |                                           | "something has changed"
//	      v                                           v
//	new connections                           living connections:
//	begin with the identity                   show the new identity to the peer, by an update;
//	of the moment                             ask Validator about the peer once more
//
// The peer sees the new certificate in an authenticated message of the same connection, and its validator
// decides about it with the one before at hand: it has to be the same peer's. A peer whose certificate
// expires, is revoked, or whose authority is trusted no more is dropped, or warned of, as Config.Refused
// says; a [KnownHosts] file does the same if it is among [Files.Also].
//
// What is wrong with a file is a [FileError], which names the file, the line and the field. Files with
// private keys that others can read are refused.
package identity
