// Package tlspsk lets an epoch of a channel key a TLS 1.3 or QUIC connection. Both ends
// draw a [Key] from the epoch; it is the pre-shared key of one new connection
// between them. Packets are then encrypted once, by QUIC itself, under keys that only the
// members of the group can agree on.
//
// It is an experiment, as it uses Go's session resumption for what that was not made for:
// docs/quic-keying.md says what it gives, what it does not, and when to use it. Connections of package quicmls have
// it as an option: quicmls.Conn.DialKeyed.
//
//	client, err := tlspsk.NewClient(&tlspsk.Config{Protocols: []string{"example"}})
//	server, err := tlspsk.NewServer(&tlspsk.Config{Protocols: []string{"example"}})
//
//	// At the end that listens, once for all sessions:
//	listener, err := quic.ListenAddr(addr, server.Config(), nil)
//	// In each epoch that is to have a connection:
//	key, err := tlspsk.Export(session, dialer, 0)
//	err = server.Expect(key)
//	conn, err := listener.Accept(ctx)
//	id, err := server.Identify(conn.ConnectionState().TLS) // whose connection it is
//
//	// At the end that dials:
//	key, err := tlspsk.Export(session, dialer, 0)
//	config, err := client.Config(key)
//	conn, err := quic.DialAddr(ctx, addr, config, nil)
//
// # Who is at the other end
//
// Whoever holds the key: a member of the group in that epoch, or a thief of that epoch's secrets.
// The group has authenticated its members; TLS certificates play no part. Each key serves
// one connection and one direction of dialing, so that nothing can be reflected.
//
// An update of the session leads to an epoch with other keys. A connection that is dialed
// then is out of reach of who has robbed the updating end before. Older connections keep the keys that they
// have: whoever wants them healed moves on to the new one, and closes them.
//
// # What is refused
//
// There is no other way in. A hello without a key, with an unknown or a used one, or with one whose secret is
// another, ends the handshake; so does a server that answers with a certificate, whatever
// certificate it is. Early data (0-RTT) is neither sent nor accepted, and session tickets are worth nothing.
// Each connection adds a Diffie-Hellman exchange (psk_dhe_ke), X25519MLKEM768 unless
// configured otherwise, so that a key which is stolen later does not open what was recorded.
//
// # What it depends on
//
// Go has no public API for external pre-shared keys. This package writes a [tls.SessionState] in the
// encoding that crypto/tls reads, and checks each that the parsed state is, octet for
// octet, what was meant. If a version of Go encodes sessions differently, that fails with
// [ErrEncoding] and no connection comes about.
package tlspsk
