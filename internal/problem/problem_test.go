package problem_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/exitgate/exitgate/internal/problem"
)

func TestWrite(t *testing.T) {
	const document = `{"type":"about:blank","title":"Misdirected Request","status":421,"detail":"<a> & \"b\"","reason":"unknown-host"}` + "\n"
	for method, body := range map[string]string{http.MethodGet: document, http.MethodHead: ""} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, "/", nil)
		problem.Write(w, r, problem.Details{Status: http.StatusMisdirectedRequest, Detail: `<a> & "b"`, Reason: "unknown-host"})
		if w.Code != http.StatusMisdirectedRequest || w.Body.String() != body {
			t.Errorf("%s: got %d %s", method, w.Code, w.Body)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/problem+json", "Content-Length": "113",
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s: got %q, not %q", method, name, got, want)
			}
		}
	}
}
