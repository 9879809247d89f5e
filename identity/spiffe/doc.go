// Package spiffe takes identities and trust from SPIFFE's Workload API, as a SPIRE agent serves it,
// and follows them as they change. It is a module of its own, because of the libraries that
// this takes.
//
// [Open] waits for the first X.509-SVID. What comes later, connections go on with by themselves:
//
//	source, err := spiffe.Open(ctx, spiffe.Options{})
//	defer source.Close()
//	names, err := identity.SPIFFE("spiffe://example.org/ns/prod/**")
//	peers, err := identity.NewX509Validator(identity.X509Options{RootsFor: source.RootsFor, Names: names})
//	config := &netconn.Config{Identities: source, Validator: peers}
//
//	Workload API --X509-SVIDs, bundles--> Source --Watch--> living connections
//	                                        |
//	                                        +--- Identities --> new connections
//	                                        '--- RootsFor ----> validator
//
// A peer is verified against the bundle of its own trust domain, which may be a federated one. SVIDs have to
// have Ed25519 or ECDSA keys; SPIRE's default is ECDSA on P-256.
package spiffe
