// Package record protects the bytes of a channel in TLS 1.3 records
// (RFC 8446, Section 5), keyed by an epoch's traffic secret and with the hash
// and the AEAD of the MLS cipher suite.
//
// A [Protection] is one direction of one epoch. It seals and opens whole
// records, in place and without allocating, and knows nothing of sockets:
//
//	byte 0      content type; 23 (application_data) for protected records
//	byte 1..2   0x0303
//	byte 3..4   length of what follows
//	byte 5...   AEAD(content || content type || zeros); or, before there are
//	            keys, the content itself
//
// Hellos and resumption messages travel in the clear: [AppendPlaintext] frames
// them, and [ParseHeader] reads either kind of header. A peer that speaks TLS,
// HTTP or SSH is recognised by [CheckProtocol].
//
// # Limits
//
// A record holds at most 2^14 octets of content; its ciphertext at most 2^14+256.
// One key protects at most [MaxRecords] records, the bound that RFC 8446, Section
// 5.5 gives for AES-GCM, taken for every AEAD. [Protection.NeedsUpdate] says that
// it is time for fresh keys when half of them are used. At the limit both Seal and
// Open fail, so a sequence number never wraps and a nonce never repeats.
package record
