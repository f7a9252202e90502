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

// Issue 12: what was cut isn't served to its end, if the rest of it comes at the same moment.
func TestNothingIsServedToItsEndOnceItIsCut(t *testing.T) {
	for kind, respond := range map[string]func(w http.ResponseWriter, cut func()){
		"before its head": func(w http.ResponseWriter, cut func()) {
			cut()
			_, _ = io.WriteString(w, "end")
		},
		"before its end": func(w http.ResponseWriter, cut func()) {
			_, _ = io.WriteString(w, "begin")
			_ = http.NewResponseController(w).Flush()
			cut()
			_, _ = io.WriteString(w, "end")
		},
		"before its end, of known length": func(w http.ResponseWriter, cut func()) {
			w.Header().Set("Content-Length", "8")
			_, _ = io.WriteString(w, "begin")
			_ = http.NewResponseController(w).Flush()
			cut()
			_, _ = io.WriteString(w, "end")
		},
	} {
		for _, method := range []string{"GET", "POST"} { // by the two ways that there are
			t.Run(kind+", "+method, func(t *testing.T) {
				var cut atomic.Bool
				o := serve(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					respond(w, func() { cut.Store(true) })
				}))
				app, err := proxy.New(o)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(app.Close)
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					app.Forward(w, r.WithContext(cutContext{r.Context(), &cut}), forwarding)
				}))
				t.Cleanup(server.Close)
				r := request(t, method, server.URL+"/", strings.NewReader("x"))
				if method == "GET" {
					r = request(t, method, server.URL+"/", http.NoBody)
				}
				res, err := server.Client().Do(r)
				if err != nil {
					return
				}
				defer res.Body.Close()
				if text, err := io.ReadAll(res.Body); err == nil || strings.Contains(string(text), "end") {
					t.Errorf("it is served as %d %q, %v", res.StatusCode, text, err)
				}
			})
		}
	}
}
