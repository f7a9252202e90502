package proxy_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/exitgate/exitgate/gateway/proxy"
)

// A cutContext has ended since cut, but nobody was told yet: what waits for that would
// hear of it a moment later.
type cutContext struct {
	context.Context
	cut *atomic.Bool
}

func (c cutContext) Err() error {
	if c.cut.Load() {
		return context.Canceled
	}
	return c.Context.Err()
}

// Issue 12: a request that was cut before its answer isn't served, if that comes in the
// same moment. One whose answer has begun may be.
func TestAnAnswerThatComesAsItIsCutIsNotServed(t *testing.T) {
	for _, method := range []string{"GET", "POST"} { // by the two ways that there are
		t.Run(method, func(t *testing.T) {
			var cut atomic.Bool
			app, err := proxy.New(serve(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				cut.Store(true)
				_, _ = io.WriteString(w, "answer")
			})))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(app.Close)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				app.Forward(w, r.WithContext(cutContext{r.Context(), &cut}), forwarding)
			}))
			t.Cleanup(server.Close)
			r := request(t, method, server.URL+"/", http.NoBody)
			if method == "POST" {
				r = request(t, method, server.URL+"/", strings.NewReader("x"))
			}
			if res, err := server.Client().Do(r); err == nil {
				t.Errorf("it is served as %d %q", res.StatusCode, body(t, res))
			}
		})
	}
}
