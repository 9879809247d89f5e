//go:build !unix

package netconn

// canReadRaw is false where a socket is read in another way than by a system
// call that returns at once.
const canReadRaw = false

func readRaw(uintptr, []byte) (n int, again bool, err error) { panic("netconn: not reached") }
