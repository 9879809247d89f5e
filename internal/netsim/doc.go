// Package netsim has networks for tests that do to a connection what networks, and
// people on them, do.
//
// A [Stream] carries octets between two connections. In each direction they go through a list of
// faults, one after the other:
//
//	        faults of the way there: Split, FlipAt, CutAt, ...
//	     .---> reads -> room -> fault -> fault -> writes ---.
//	    |                                                    v
//	near end                                              far end
//	    ^                                                    |
//	     '--- writes <- fault <- fault <- room <- reads <---'
//	        faults of the way back
//
// Room for some octets lies between reading and writing, as in every network: so an end
// can write though the other one does not read yet, and what is not taken at once comes together.
//
// Some faults are harmless, as what they do to a stream must make no difference: [Split],
// [Rechunk], [DelayOctets] and [StallAt]. The others are not: [CutAt], [FlipAt], [DropOctets],
// [DuplicateOctets] and [SwapOctets]. Each counts the octets that it is given from zero, so the faults before it
// shift its offsets. What is random comes from a source that the caller gives, so that a test can
// name the seed with which it failed.
//
// A Stream has four goroutines, which end with it: by [Stream.Close], or when both directions have ended.
package netsim
