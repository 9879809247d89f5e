package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
)

const (
	// DefaultRekeyWait is how long peers have to confirm, and LongestRekeyWait is the most that can be asked for.
	DefaultRekeyWait = 10 * time.Second
	LongestRekeyWait = 25 * time.Second
)

// A rekeyer has the keys of links replaced, for one request at a time: whoever reaches the listener cannot pile them up.
type rekeyer struct {
	registry *links.Registry
	busy     sync.Mutex
}

// ServeHTTP answers POST /rekey?forward=NAME&peer=FINGERPRINT&wait=10s with the [links.Rekeyed] of each link.
func (r *rekeyer) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	query, wait := request.URL.Query(), DefaultRekeyWait
	for name := range query {
		if name != "forward" && name != "peer" && name != "wait" {
			http.Error(w, fmt.Sprintf("want forward, peer and wait, got %q", name), http.StatusBadRequest)
			return
		}
	}
	if text := query.Get("wait"); text != "" {
		var err error
		if wait, err = time.ParseDuration(text); err != nil || wait <= 0 || wait > LongestRekeyWait {
			http.Error(w, fmt.Sprintf("wait has to be a duration of at most %v, got %q", LongestRekeyWait, text), http.StatusBadRequest)
			return
		}
	}
	if !r.busy.TryLock() {
		http.Error(w, "keys are being replaced already", http.StatusConflict)
		return
	}
	defer r.busy.Unlock()
	ctx, cancel := context.WithTimeout(request.Context(), wait)
	defer cancel()
	all, err := r.registry.Rekey(ctx, query.Get("forward"), query.Get("peer"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(all) // its error is the reader's, who is gone
}
