package main

import (
	"crypto/tls"
	"errors"
	"log"

	"github.com/mendlink/mendlink/bench/internal/channels"
	"github.com/mendlink/mendlink/bench/internal/floor"
	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/rivals"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A class is a suite of ours and what crypto/tls has of the same kind.
type class struct {
	name  string
	suite ciphersuite.ID
	curve tls.CurveID
}

var classes = []class{
	{"classical", ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, tls.X25519},
	{"hybrid", ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519, tls.X25519MLKEM768},
}

// What is measured.
const (
	handshake  = "handshake"
	bare       = "handshake, no store"
	update     = "update"
	resumption = "resumption"
	newKeys    = "record keys"
)

// Who it is compared to.
const (
	mutualTLS    = "TLS"
	pinnedTLS    = "TLS, pinned"
	reconnect    = "TLS + TCP"
	noiseXX      = "Noise XX"
	tcpConnected = "TCP alone"
	floorOnly    = "floor" // the public-key operations of ours, by package ciphersuite
)

// A contestant is measured in turn with others.
type contestant struct {
	who string
	measure.Op
}

// An operation is one of ours, followed by what it is compared to.
type operation struct {
	name        string
	contestants []contestant
}

// all returns the operations of a class.
func (c *class) all(d *rivals.Dialer) ([]operation, error) {
	stored, err := channels.NewPair(c.suite, true)
	if err != nil {
		return nil, err
	}
	unstored, err := channels.NewPair(c.suite, false)
	if err != nil {
		return nil, err
	}
	updates, err := stored.Update()
	if err != nil {
		return nil, err
	}
	resumptions, err := stored.Resumption()
	if err != nil {
		return nil, err
	}
	issued, err := rivals.NewTLS(c.curve, rivals.Issued)
	if err != nil {
		return nil, err
	}
	pinned, err := rivals.NewTLS(c.curve, rivals.Pinned)
	if err != nil {
		return nil, err
	}
	suite, err := ciphersuite.Default().Lookup(c.suite)
	if err != nil {
		return nil, err
	}
	provider, err := floor.New(suite)
	if err != nil {
		return nil, err
	}
	noise, err := rivals.NewNoise()
	if err != nil {
		return nil, err
	}
	whole := []contestant{{mutualTLS, issued.Handshake()}, {pinnedTLS, pinned.Handshake()}}
	atLeast := func(c floor.Counts, others ...contestant) []contestant {
		return append([]contestant{{floorOnly, provider.Op(c)}}, others...)
	}
	connects := []contestant{{reconnect, issued.Reconnect(d)}, {tcpConnected, d.Connect()}}
	withNoise := whole
	if c.curve == tls.X25519 {
		withNoise = append(withNoise, contestant{noiseXX, noise.Handshake()})
	}
	return []operation{
		c.operation(handshake, stored.Handshake(), atLeast(floor.ChannelHandshake(), withNoise...)),
		c.operation(bare, unstored.Handshake(), atLeast(floor.ChannelHandshake(), whole...)),
		c.operation(update, updates, atLeast(floor.ChannelUpdate(), connects...)),
		c.operation(resumption, resumptions, atLeast(floor.ChannelResumption(), whole...)),
		c.operation(newKeys, stored.NewKeys(), nil),
	}, nil
}

func (c *class) operation(name string, ours measure.Op, others []contestant) operation {
	return operation{c.name + " " + name, append([]contestant{{who: "mendlink", Op: ours}}, others...)}
}

// measureAll measures what the options ask for.
func measureAll(o *options) (rs results, err error) {
	d, err := rivals.NewDialer()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for _, c := range classes {
		operations, err := c.all(d)
		if err != nil {
			return nil, err
		}
		for _, op := range operations {
			if !o.only.MatchString(op.name) {
				continue
			}
			log.Print(op.name)
			r, err := op.measure(o)
			if err != nil {
				return nil, err
			}
			rs = append(rs, r)
		}
	}
	return rs, nil
}

// measure measures the contestants in turn.
func (op *operation) measure(o *options) (*result, error) {
	contestants := op.contestants
	if o.oursOnly {
		contestants = contestants[:1]
	}
	subjects := make([]measure.Subject, len(contestants))
	r := &result{operation: op.name}
	for i, c := range contestants {
		subjects[i], r.who = c, append(r.who, c.who)
	}
	var err error
	r.series, err = measure.Rounds(o.rounds, o.batch, subjects)
	return r, err
}
