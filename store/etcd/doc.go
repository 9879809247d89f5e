// Package etcd keeps the sessions of several processes in an etcd cluster: any of
// them can resume any session, wherever a balancer leads the connection.
//
// A save is one transaction, which takes effect only if the session's version is still the one that it
// replaces: so of two processes that have the same session only one moves it on. Sessions that are not
// saved any more go away with their leases. Records are sealed under the operator's key: see package seal, and docs/stores.md for what that
// can promise and what it cannot.
//
// It is a module of its own, so that programs which do not use it need nothing of etcd.
package etcd
