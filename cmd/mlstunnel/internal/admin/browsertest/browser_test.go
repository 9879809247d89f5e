package browsertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

// A page is the status page in a browser. At the end of the test nothing may have gone wrong on it, and
// it may have asked nobody but the admin listener for anything.
type page struct {
	t   *testing.T
	ctx context.Context // of the browser's tab

	mu       sync.Mutex // guards what follows
	requests []string   // URLs
	wrong    []string   // what the console says, and exceptions
}

// open opens a page in a browser of its own.
func open(t *testing.T, url string) *page {
	t.Helper()
	// Without a sandbox of its own, as CI runs it as root; and with no way out of this machine.
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), chromedp.Flag("no-proxy-server", true))
	browsers, closeBrowsers := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(closeBrowsers)
	p := &page{t: t}
	tab, closeTab := chromedp.NewContext(browsers, chromedp.WithListener(p.happened))
	t.Cleanup(closeTab)
	p.ctx = tab
	// The browser ends with the context of the first Do.
	if err := chromedp.Do(tab); err != nil {
		t.Fatalf("no browser, want chromium: %v", err)
	}
	ctx, cancel := context.WithTimeout(tab, testbed.HangBound)
	defer cancel()
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.check(url) })
	return p
}

// happened is told what happens in the browser.
func (p *page) happened(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *network.EventWebSocketCreated:
		p.requests = append(p.requests, e.URL)
	case *runtime.EventExceptionThrown:
		p.wrong = append(p.wrong, fmt.Sprintf("exception: %s", e.ExceptionDetails.Text))
	case *runtime.EventConsoleAPICalled:
		p.wrong = append(p.wrong, fmt.Sprintf("console: %s", e.Type))
	case *log.EventEntryAdded:
		p.wrong = append(p.wrong, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	}
}

func (p *page) check(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, wrong := range p.wrong {
		p.t.Error(wrong)
	}
	polls := 0
	for _, request := range p.requests {
		switch {
		case request == url+"status.json":
			polls++
		case request != url && !strings.HasPrefix(request, "data:"):
			p.t.Errorf("the page asked for %s", request)
		}
	}
	if polls == 0 {
		p.t.Errorf("the page never asked for the status, but for %q", p.requests)
	}
}

// eval returns what JavaScript makes in the page.
func eval[T any](p *page, script string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, testbed.HangBound)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		p.t.Fatal(err)
	}
	return value
}

// A card is what is shown of a link.
type card struct {
	Forward string            // heading above it
	Title   string            // its own heading
	Rows    map[string]string // by what stands at their left
	Plot    string            // how the plot is read out
	Steps   int               // of the plot
	Wide    float64           // of the plot, in CSS pixels
}

// cards returns all links that are shown.
func (p *page) cards() []card {
	p.t.Helper()
	return eval[[]card](p, `[...document.querySelectorAll('main section')].flatMap(section => [...section.querySelectorAll('.link')].map(link => ({
  Forward: section.querySelector('h2').textContent,
  Title: link.querySelector('h3').textContent,
  Rows: Object.fromEntries([...link.querySelectorAll('dt')].map(dt => [dt.textContent, dt.nextElementSibling.innerText])),
  Plot: link.querySelector('svg').getAttribute('aria-label'),
  Steps: (link.querySelector('svg path').getAttribute('d').match(/V/g) || []).length,
  Wide: link.querySelector('svg path').getBoundingClientRect().width,
})))`)
}

// text returns what an element shows.
func (p *page) text(selector string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

// resize gives the window another size, in CSS pixels.
func (p *page) resize(width, height int64) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, testbed.HangBound)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		p.t.Fatal(err)
	}
}
