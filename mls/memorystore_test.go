package mls_test

import (
	"testing"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/storetest"
)

func TestMemoryStore(t *testing.T) {
	storetest.Test(t, func() mls.Store { return mls.NewMemoryStore() })
}
