package admin_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy/changes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fixture is the handler over a memory, with some people who may use it.
type fixture struct {
	http.Handler
	*memory
	tokens   map[actor]string
	log      *testkit.Buffer
	failures atomic.Int64
}

// An actor is who asks in a test.
type actor string

const (
	nobody   actor = "nobody"
	viewer   actor = "viewer"
	operator actor = "operator"
	approver actor = "approver"
	both     actor = "operator+approver"
	socket   actor = "socket"
)

var actors = []actor{nobody, viewer, operator, approver, both, socket}

func newFixture(t testing.TB) *fixture { return newFixtureWithin(t, admin.Limits{}) }

func newFixtureWithin(t testing.TB, limits admin.Limits) *fixture {
	t.Helper()
	return newFixtureOf(t, fourEyes, limits)
}

func newFixtureOf(t testing.TB, policy string, limits admin.Limits) *fixture {
	t.Helper()
	g := &fixture{memory: newLedgerFixture(t, policy), tokens: map[actor]string{}, log: &testkit.Buffer{}}
	for who, roles := range map[actor][]changes.Role{
		viewer:   {changes.Viewer},
		operator: {changes.Operator},
		approver: {changes.Approver},
		both:     {changes.Operator, changes.Approver},
	} {
		g.tokens[who], _ = g.token(t, strings.ReplaceAll(string(who), "+", "-"), time.Time{}, roles...)
	}
	g.Handler = admin.NewWithin(g.options(), limits)
	return g
}

func (g *fixture) options() admin.Options {
	return admin.Options{
		Metrics:   prometheus.NewRegistry(),
		Flags:     http.NotFoundHandler(),
		Service:   g.memory.Control,
		Log:       slog.New(slog.NewTextHandler(g.log, nil)),
		Now:       func() time.Time { _, now := g.known(); return now },
		Hosts:     []string{"gate.example.org"},
		OnFailure: func() { g.failures.Add(1) },
	}
}

// count returns how many records there are.
func (g *fixture) count() uint64 {
	state, _ := g.known()
	return state.Last()
}

// headers are what a test sends beside a token.
type headers map[string]string

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	code   string // of a problem
	detail string
}

// ask makes a request without a network, and checks its answer against the
// document.
// A body is sent as JSON, a string as it is.
func ask(t testing.TB, g *fixture, who actor, method, target string, body any, more ...headers) answer {
	t.Helper()
	r := request(t, g, who, method, target, body, more...)
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return checkAnswer(t, method, r.URL.Path, w.Code, w.Header(), w.Body.String())
}

func request(t testing.TB, g *fixture, who actor, method, target string, body any, more ...headers) *http.Request {
	t.Helper()
	var content io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = bytes.NewReader(text)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, target, content)
	r.Host = "127.0.0.1:8600"
	r.RemoteAddr = "127.0.0.1:55555"
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	switch who {
	case nobody:
	case socket:
		r = r.WithContext(admin.AsUser(r.Context(), "root"))
	default:
		r.Header.Set("Authorization", "Bearer "+g.tokens[who])
	}
	for _, fields := range more {
		for name, value := range fields {
			r.Header.Set(name, value)
		}
	}
	return r
}

// servedDocument returns the document that is served.
var servedDocument = sync.OnceValue(func() object {
	text, err := os.ReadFile("openapi.json")
	var doc object
	if err == nil {
		err = json.Unmarshal(text, &doc)
	}
	if err != nil {
		panic(err)
	}
	return doc
})

// checkAnswer compares an answer with what the document says of its status.
func checkAnswer(t testing.TB, method, path string, status int, header http.Header, body string) answer {
	t.Helper()
	a := answer{status: status, header: header, body: body}
	var problem struct{ Code, Detail string }
	isProblem := header.Get("Content-Type") == "application/problem+json"
	if isProblem {
		if err := json.Unmarshal([]byte(body), &problem); err != nil {
			t.Errorf("%s %s: %v\n%s", method, path, err, body)
		}
		a.code, a.detail = problem.Code, problem.Detail
	}
	if header.Get("X-Content-Type-Options") != "nosniff" && status != http.StatusNoContent {
		t.Errorf("%s %s: browsers may guess what the body is", method, path)
	}
	if header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %s: the answer may be stored", method, path)
	}
	operation := describedOperation(method, path)
	var described any
	switch {
	case operation != nil:
		described = operation["responses"].(object)[strconv.Itoa(status)]
	case isProblem: // of a path or a method that isn't there
		described = object{"$ref": "#/components/responses/" + strconv.Itoa(status)}
	}
	if described == nil {
		t.Errorf("%s %s: the document has no answer with the status %d\n%s", method, path, status, body)
		return a
	}
	response := described.(object)
	if ref, is := response["$ref"].(string); is {
		response = servedDocument()["components"].(object)["responses"].(object)[strings.TrimPrefix(ref, "#/components/responses/")].(object)
	}
	fields, _ := response["headers"].(object)
	for name, field := range fields {
		if field.(object)["required"] == true && header.Get(name) == "" {
			t.Errorf("%s %s: the answer with the status %d has no %s", method, path, status, name)
		}
	}
	content, _ := response["content"].(object)
	if content == nil {
		if body != "" {
			t.Errorf("%s %s: there is a body with the status %d: %s", method, path, status, body)
		}
		return a
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || content[media] == nil {
		t.Errorf("%s %s: the document has no answer of type %q with the status %d", method, path, media, status)
		return a
	}
	if !strings.HasSuffix(media, "json") || method == http.MethodHead {
		return a
	}
	var value any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Errorf("%s %s: %v\n%s", method, path, err, body)
		return a
	}
	if err := conforms(servedDocument(), content[media].(object)["schema"], value, ""); err != nil {
		t.Errorf("%s %s: not by the schema of the status %d: %v\n%s", method, path, status, err, body)
	}
	return a
}

// describedOperation returns what the document says of a method and a path, nil if
// nothing.
func describedOperation(method, path string) object {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	asked := strings.Split(path, "/")
	var found object
	for template, methods := range servedDocument()["paths"].(object) {
		steps := strings.Split(template, "/")
		if len(steps) != len(asked) {
			continue
		}
		matches, exact := true, true
		for i, step := range steps {
			if variable := strings.HasPrefix(step, "{"); variable {
				exact = false
			} else if step != asked[i] {
				matches = false
			}
		}
		operation, is := methods.(object)[strings.ToLower(method)].(object)
		if matches && is && (exact || found == nil) {
			found = operation
		}
	}
	return found
}

// serve answers a request that ask can't make.
func serve(t testing.TB, g *fixture, r *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return checkAnswer(t, r.Method, r.URL.Path, w.Code, w.Header(), w.Body.String())
}

// statusOf answers a request that the document doesn't describe.
func statusOf(g *fixture, r *http.Request) int {
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Code
}
