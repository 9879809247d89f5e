// Package channel is the two-party profile of MLS as a state machine: what two
// ends say to each other so that they share keys, put fresh private keys into the
// living connection, and resume from the group's state after a cut. It follows
// draft-kohbrok-mls-two-party-profile-01 and draft-kohbrok-mls-tls; docs/protocol.md
// has the wire to the byte, and says where Mendlink decides what they leave open.
//
// A [Session] does no I/O. Its driver, such as package netconn, reads records,
// makes messages of them ([Assembler]), hands those over ([Session.Receive]) and
// carries out the [Event]s that come back, in order. An event either is a
// message to send or says that one direction changes its keys at this very point.
//
// # The full handshake
//
//	initiator                                   responder
//	ClientHello (KeyPackage)            --->
//	                                    <---    ServerHello (Welcome)
//	                                            keys of epoch 1
//	keys of epoch 1
//	{HandshakeDone}                     --->
//	complete                                    complete
//
// Messages in braces are protected. The responder's handshake is complete only
// with HandshakeDone, which a replayed ClientHello never brings about. A responder
// that does not have the key package's cipher suite says which it has, and the
// initiator begins again (HelloRetry); whoever leads the ends to a worse suite than
// the best that both have is found out. The hello's signed leaf offers protocols,
// sizes, features and pre-shared keys, the group's context holds what was chosen:
// [Negotiated].
//
// # An update
//
//	either end                                  the other
//	{ConnectionUpdate (Commit)}         --->
//	                                    <---    {EpochKeyUpdate}
//	                                            sends with new keys
//	receives with new keys
//	{KeySwitch}                         --->
//	sends with new keys                         receives with new keys
//
// With it an end can show another identity ([Session.Rotate]) and mix in pre-shared
// keys ([Session.InjectPSK]). KeySwitch names the EpochKeyUpdate that it follows, so
// that an update takes its maker a round trip. When an update is due, a [Schedule]
// says; inside an epoch, [Session.UpdateKeys] steps the sending key.
//
// Each end has at most one update of its own under way. If two cross, that of
// the end which began the connection stands. At no time does anybody have to try which keys a record is
// protected with.
//
// # Resumption
//
//	either end                                  the other
//	(EarlyData)                         --->
//	ResumptionRequest (Commit)          --->
//	                                    <---    ResumptionResponse (Commit)
//	                                            receives with keys of epoch n+2
//	keys of epoch n+2
//	{EpochKeyUpdate}                    --->
//	complete                                    sends with keys of epoch n+2, complete
//	                                    <---    ({EarlyDataStatus})
//
// A commit that was pending when the connection broke is repeated byte for byte.
// If two requests cross, on one connection or on two, that of the initiator of the
// full handshake stands, or that of the end with the greater key if both want that.
// Early data is delivered at most once, however often the flight is repeated, and
// its sender waits until it knows whether it was.
//
// # A branch
//
//	joiner                                      founder
//	BranchKeyPackage      KeyPackage --->       Branch
//	JoinBranch            <--- Welcome
//
// The two ends can found an MLS group, to which others are added later, by branching off
// from the session, which lives on: [Session.Branch]. The application carries the two octet
// strings. Updates may be under way meanwhile: docs/branch.md.
//
// # What is kept, and when it is erased
//
// With a [Store], each state is saved before the message that reveals it is
// returned, so that a crash at any moment leaves ends that can resume, or that
// fall back to a full handshake. An epoch's secrets are erased when the next is
// adopted, its exporter secret as soon as the traffic secrets are drawn from it. A driver
// owns the secrets in the events that it was given, and erases those.
package channel
