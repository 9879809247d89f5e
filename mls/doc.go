// Package mls implements Messaging Layer Security (RFC 9420): groups of any
// size that agree on keys, and on new keys with each change, so that they have
// forward secrecy and heal from a compromise.
//
// A [Group] is one member's state in one epoch:
//
//	creator                                    new member
//	NewGroup (epoch 0)                         NewKeyPackage
//	   |        <------ key package ------------   |
//	Commit{Add} --> PendingCommit                  |
//	   |        ------- Welcome -------------->  Join (epoch 1)
//	PendingCommit.Group (epoch 1)                  |
//	   |        ------- Protect -------------->  Process -> *ReceivedApplication
//	   |        <------ commit ----------------  Commit --> PendingCommit
//	Process -> *ReceivedCommit                     |
//	ReceivedCommit.Group (epoch 2)             PendingCommit.Group (epoch 2)
//
// A commit, made or processed, never changes the Group that it starts from: it
// yields the next epoch as a Group of its own. The member goes on with that and
// erases the old one, or drops it. So a commit that is lost, refused or
// overtaken costs nothing, and a failure leaves the state as it was.
//
// A [Client] goes from epoch to epoch by itself and keeps its groups, as
// Memberships, in a [Store]. It is what most programs want; [Group] is for those
// that keep the state in ways of their own.
//
// The package does no input or output and keeps no clock. What goroutines it uses,
// to encrypt to many or to verify many, have ended when the call returns. What it
// needs of the world is in [Config]: the time, randomness, and the
// [AuthenticationService] that says whose credentials are to be believed.
//
// Objects that others send are bytes until a Group, or [Join], has verified
// them. A broken rule is reported as an [*Error] that names it.
package mls
