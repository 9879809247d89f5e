// Package seal protects what stores keep of sessions under a key that the operator
// gives: from a file, the environment, or a key management service. It is what
// store/bolt and store/etcd have in common, and helps other stores as well.
//
// Each record is sealed with XChaCha20-Poly1305, whose nonces are long enough to be
// drawn at random for as long as a key lives, by any number of processes. A record is bound to the
// session and the version that it is stored under: one that was put in another's place, or back in the place
// of a later one, does not open. What no key can tell is that a whole store is an older one.
//
// The label under which a session is found may say who the peer is. Stores keep only a
// [Tag] of it.
package seal
