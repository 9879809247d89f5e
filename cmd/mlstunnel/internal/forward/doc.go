// Package forward carries connections through the tunnel.
//
//	plain client --> [client: listen]  ==Mendlink==>  [server: forward] --> plain service
//
// Over TCP each forwarded connection is a Mendlink connection of its own. Each open one has a session of its own, so
// that none waits for another, and the session of one that has ended, or was cut, is resumed by the
// next: it costs a round trip and puts fresh keys at both ends.
//
// Over QUIC all forwarded connections of a client are streams of one Mendlink connection, which is kept up: if it is
// cut, the client dials again, after a delay that grows, and resumes its session.
//
// A forwarded connection that is cut is not continued: what a plain client has written to a service that is away
// cannot be known to have arrived. It is reset at both ends, and never looks like a regular end.
package forward
