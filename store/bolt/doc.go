// Package bolt keeps the sessions of one process in a file, by bbolt: a store
// for programs that run on one machine and are to resume their sessions when they start again.
//
// What Save has saved is on the disk when it returns, and a process that is killed at any moment leaves
// a file that opens. Saves that come at the same time share a transaction, and so the wait for the disk.
// Records are sealed under the operator's key: see package seal, and docs/stores.md for what that
// can promise and what it cannot.
//
// The file grows to what it needed most and does not shrink; space within is used
// again. To make it smaller, stop the program and copy it by "bbolt compact".
package bolt
