// Package netconn is a secure channel over any [net.Conn], and is one itself.
//
// It feels like crypto/tls: [Dial], [Listen], [Client] and [Server] give a [Conn]
// with the same methods. What it adds is that the keys of a living connection are renewed
// all the time with fresh asymmetric key material, so that whoever steals them is locked out again
// (RFC 9420; the two-party profile of package channel), and that a connection that was cut
// goes on, over another transport, from where its session was. Its ends can agree on an
// application protocol, replace their identities ([Conn.Rotate]) and mix in keys of another
// origin ([Conn.InjectPSK]) while it lives, and the first octets may travel with the first
// flight ([Conn.SetEarlyData]).
//
//	conn, err := netconn.Dial("tcp", "db.example:7400", &netconn.Config{
//		Identity:  self,   // from package identity
//		Validator: peers,  // who may be on the other end
//		Store:     channel.NewMemoryStore(0),
//	})
//
// On the wire there are TLS 1.3 records (package record) that hold application data,
// alerts, and two-party messages where TLS has handshake messages.
//
// # How a Conn works
//
// A Conn has three parts with a lock each. The receiver cuts what the transport brings into records
// and opens them. The sender seals records and writes them, many at once. The session between
// them, a value without any I/O, is given each two-party message and answers with
// events, which are carried out in order:
//
//	        two-party messages     Send, SwitchSend, StepSend
//	receiver ----------------> session ----------------> queue -> sender
//	    ^                         |                                  ^
//	    '------ SwitchReceive ----'                                  |
//	    |       StepReceive                                          |
//	    '---> Read  (application data)                       Write --'
//
// SwitchReceive and StepReceive take effect at once: the receiver itself has asked the session, and
// goes on to the next record only afterwards. The others become items of a queue, because sending may have to
// wait for the peer and Read must not: if both ends waited in Read for the other to read, neither
// would. Whoever holds the sender empties the queue: a Write before it begins and between two
// batches of records, else a goroutine that lives just for that.
//
// A flow of data begins with records that fit a TCP segment, so that the peer need not wait for
// more, and goes on with large ones, of which some 128 KiB share one system call. io.Copy moves as
// much at once ([Conn.ReadFrom], [Conn.WriteTo]). Small Writes go out one by one, unless
// Config.CoalesceDelay lets them wait for each other. Large ones have Config.PipelineWrites,
// which uses two processors for one.
//
// An own update is done when the peer's answer has been read. If nobody is in Read meanwhile, another
// short-lived goroutine, the pump, reads, and keeps up to 256 KiB of application data for the next Read.
// It gives way to a Read that comes. If its room is full the update waits, and writing
// goes on under the old keys. So a connection on which one end only writes heals too.
//
// Updates of the Conn's own begin when [RekeyPolicy] says so, in a goroutine that lives just
// for that. If none comes through for so long that a key is nearly used up, the sender steps to the
// next key of the same epoch. An idle Conn has no goroutine and no buffer. Its timer, if the
// policy wants one, is a time.AfterFunc. Close waits for the goroutines that are left.
//
// What changes outside, own identities and whom the validator accepts, is dealt with in such a goroutine as
// well: when Config.Identities say that something has changed, or a certificate of the peer expires, which is
// another time.AfterFunc, the Conn compares what it shows with what there is, and asks the validator again.
//
// A session goes on over one connection at a time. So Dial passes over those of living Conns of this
// process: connections to one peer that are open at once have a session each.
//
// What happens to a connection, such as that the peer has another identity, tells Config.Trace;
// [Conn.ConnectionState] says how things are.
//
// # Ends
//
// Application data ends in each direction with an authentic close_notify, which Read
// reports as io.EOF. Two-party messages may follow it, so that half-closed connections
// heal. A transport that ends without it is io.ErrUnexpectedEOF: somebody may have cut the stream.
//
// What goes on after a cut is the session: who the ends are, and each heal so far. The next Conn's stream of data
// begins anew. Which of the last octets the peer has read is for the application to find out, by
// acknowledgements or offsets of its own, as after any reconnection.
//
// Deadlines never break a Conn. After a read deadline nothing is lost; after a write
// deadline the records that are sealed already are kept, counted as written, and sent first (see [Conn.Write]).
//
// Whatever the peer does, its octets lead to data, to an error, or to waiting: what is kept for it is
// bounded (one record, one two-party message, 256 KiB of data), and so are the handshake's time and records without content.
package netconn
