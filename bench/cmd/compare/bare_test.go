package main

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/mendlink/mendlink/bench/internal/rivals"
)

// What is compared with has to do all that it is compared for: data arrives, whatever the sizes of Writes and Reads.
func TestBareConnCarriesData(t *testing.T) {
	d, err := rivals.NewDialer()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	data := make([]byte, 1<<20+7)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	copying := func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(data))
		return err
	}
	for name, c := range map[string]struct {
		send    func(io.Writer) error
		receive func(io.Reader) io.Reader
	}{
		"at once":   {func(w io.Writer) error { _, err := w.Write(data); return err }, func(r io.Reader) io.Reader { return r }},
		"io.Copy":   {copying, func(r io.Reader) io.Reader { return r }},
		"in parts":  {func(w io.Writer) error { return copying(struct{ io.Writer }{w}) }, func(r io.Reader) io.Reader { return iotest.HalfReader(r) }},
		"to octets": {copying, func(r io.Reader) io.Reader { return iotest.OneByteReader(r) }},
	} {
		k, err := bareLink(d)
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() {
			err := c.send(k.client)
			k.client.Close()
			sent <- err
		}()
		var got bytes.Buffer
		if _, err := io.Copy(&got, c.receive(k.server)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := <-sent; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(got.Bytes(), data) {
			t.Errorf("%s: %d octets arrive, or others", name, got.Len())
		}
		k.close()
	}
}
