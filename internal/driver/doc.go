// Package driver runs a [channel.Session] on behalf of a transport: what every transport
// has to do around a session, and none of what is particular to one.
//
//	application        transport                      driver                    channel
//	    |  Update          |                             |                         |
//	    |----------------->|  Begin(step)                |  step(session)          |
//	    |                  |---------------------------->|------------------------>|
//	    |                  |       Carry(events)         |        events           |
//	    |                  |<----------------------------|<------------------------|
//	    |                  |  message arrives: Advance   |  Receive                |
//	    |                  |---------------------------->|------------------------>|
//	    |                  |       Carry, Confirm        |        Updated          |
//	    |   Wait returns   |<--------------------------->|<------------------------|
//	    |<-----------------|                             |                         |
//
// A [Driver] takes the session's steps one at a time, keeps the [channel.ConnectionState],
// follows the update policy with one timer, tells those who wait for an update, and owns the
// connection's own goroutines. It keeps two connections of a process from going on from one session, shows
// the peer the identity of the moment, and has the validator asked again when something has changed. A [Gate]
// bounds how many connections of a listener are in their handshake.
package driver
