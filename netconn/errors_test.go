package netconn

import (
	"errors"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
)

// What a user sees names the package that the user knows.
func TestErrorsOfTheDriverNameThisPackage(t *testing.T) {
	fields := reflect.ValueOf(driverErrors)
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Name
		if err, ok := fields.Field(i).Interface().(error); !ok || !strings.HasPrefix(err.Error(), "netconn: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if fields.NumField() == 0 {
		t.Error("there are none")
	}
}

// However a Conn reads its transport, the errors of Read name the operation as net's do.
func TestErrorsOfReadSayRead(t *testing.T) {
	checkGoroutines(t)
	for name, pair := range map[string]func(testing.TB) (a, b net.Conn){
		"socket": tcpPair,
		"other":  func(testing.TB) (a, b net.Conn) { return net.Pipe() },
	} {
		ic, rc := newConfigs(t)
		a, b := pair(t)
		client, _ := connect(t, a, b, ic, rc)
		if err := client.SetReadDeadline(longAgo); err != nil {
			t.Fatal(err)
		}
		_, err := client.Read(make([]byte, 1))
		if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "read" || !op.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v, want a timeout of read", name, err)
		}
	}
}
