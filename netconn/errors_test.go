package netconn

import (
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
