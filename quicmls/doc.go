// Package quicmls is a secure channel over QUIC that heals: streams and datagrams of a quic-go
// connection, protected by the keys of a two-party MLS session (package channel), which both ends keep
// renewing while the connection lives.
//
//	conn, err := quicmls.Dial(ctx, "peer.example:4433", config)
//	stream, err := conn.OpenStreamSync(ctx)
//
// The API is that of quic-go: [Dial] and [Listen], [Conn], [Stream], [SendStream], [ReceiveStream]
// and datagrams; [Client] and [Server] put a channel over a QUIC connection that there is already.
//
//	  application
//	      |  streams, datagrams
//	      v
//	+-----------+  SwitchSend, SwitchReceive   +---------+
//	|   Conn    |<-----------------------------| channel |   who the peer is, the epochs
//	+-----------+                              +---------+
//	      |  records under keys of                  | two-party messages
//	      |  (epoch, direction, stream)             v
//	      |                                    control stream
//	      v                                         |
//	+-----------------------------------------------------+
//	|  quic-go: TLS 1.3 with a certificate that proves    |   its exporter is bound into
//	|  nothing, loss recovery, flow control, migration    |   the session's keys
//	+-----------------------------------------------------+
//
// # Who the peer is
//
// The TLS connection beneath keeps passers-by away from packet headers and stream numbers, and
// proves nothing. Its exporter (RFC 9266) is bound into the session's handshake and, after a
// resumption, into the keys. A man in the middle of it has two TLS connections with
// different exporters, and the ends do not agree.
//
// # How keys change
//
// An update switches the keys of all streams, in each direction at one moment of the sender: the
// last record of the old epoch on each stream that has begun says so, its keys are erased at both ends with it, and
// no record is ever tried with several keys. A stream whose reader is slow keeps the keys that the octets
// under way need, and no others. A stream, or a direction of one, that begins late may do so in an
// epoch up to Config.EpochGrace ago; if it begins in an earlier one it is reset, and
// Read returns [ErrEpochGone].
//
// A stream ends with a record that says so. The ends of QUIC streams, resets and the closing of the
// connection are only as good as TLS: they can cut, and nothing else. So io.EOF is authentic,
// and what is cut is io.ErrUnexpectedEOF or an error.
//
// What goes on after a cut is the session, over another connection, whose streams are new ones: how far the
// peer has read those before is for the application to find out, as after any reconnection.
//
// # Connections without a second encryption
//
// A session can also key other QUIC connections, on which data is encrypted by QUIC alone: see [Conn.DialKeyed]. They are faster and
// heal only by being replaced.
package quicmls
