// Package keysched is the key schedule of MLS: what turns an epoch's inputs
// into its secrets (RFC 9420, Section 8).
//
// Octets go in and octets come out; the package knows neither groups nor
// messages. From one epoch to the next:
//
//	joiner := keysched.JoinerSecret(suite, previous.InitSecret, commitSecret, groupContext)
//	next := keysched.NewEpoch(suite, joiner, pskSecret, groupContext)
//
// What is derived on the way is erased here. Inputs are never changed: the
// caller erases them when they are consumed (RFC 9420, Section 9.2).
package keysched
