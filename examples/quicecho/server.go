package main

import (
	"context"
	"io"
	"log"
	"sync"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/quicmls"
)

// maxStreams is how many streams a client may have open.
const maxStreams = 64

// withServer returns config with what is particular to the server: few streams at a time, and an update
// each 100 records, so that there is something to see.
func withServer(config *quicmls.Config) *quicmls.Config {
	c := *config
	c.Rekey = channel.UpdatePolicy{Records: 100}
	c.QUIC = &quic.Config{
		EnableDatagrams:       true,
		MaxIncomingStreams:    maxStreams,
		MaxIncomingUniStreams: -1,
	}
	return &c
}

// serve sends everything back that comes, until ctx or the listener ends.
func serve(ctx context.Context, listener *quicmls.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := listener.Accept(ctx)
		if err != nil {
			return
		}
		wg.Go(func() { serveConn(ctx, conn) })
	}
}

func serveConn(ctx context.Context, conn *quicmls.Conn) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer conn.CloseWithError(0, "") // ends the others
	if err := conn.HandshakeContext(ctx); err != nil {
		log.Printf("server: nobody let in from %v: %v", conn.RemoteAddr(), err)
		return
	}
	wg.Go(func() { echoDatagrams(ctx, conn) })
	for {
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return // the connection has ended
		}
		wg.Go(func() { echo(stream) })
	}
}

// echo sends back what comes. It ends its own direction only if the other one has ended well.
func echo(stream *quicmls.Stream) {
	if _, err := io.Copy(stream, stream); err != nil {
		stream.CancelRead(0)
		stream.CancelWrite(0)
		return
	}
	stream.Close()
}

// echoDatagrams sends datagrams back. Any of them may be lost.
func echoDatagrams(ctx context.Context, conn *quicmls.Conn) {
	for {
		d, err := conn.ReceiveDatagram(ctx)
		if err != nil {
			return
		}
		if err := conn.SendDatagram(d); err != nil {
			return
		}
	}
}
