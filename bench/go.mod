module github.com/mendlink/mendlink/bench

go 1.26.0

require (
	github.com/flynn/noise v1.1.0
	github.com/mendlink/mendlink v0.0.0
	github.com/quic-go/quic-go v0.65.0
)

require (
	filippo.io/edwards25519 v1.2.0 // indirect
	github.com/cloudflare/circl v1.6.5 // indirect
	github.com/oasisprotocol/curve25519-voi v0.0.0-20230904125328-1f23a7beb09a // indirect
	go.etcd.io/bbolt v1.5.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/mendlink/mendlink => ../
