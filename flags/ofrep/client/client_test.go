package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-feature/go-sdk/openfeature"
	"go.uber.org/goleak"

	"github.com/exitgate/exitgate/flags/ofrep/client"
	"github.com/exitgate/exitgate/internal/testkit"
)

// A flagServer is a flag server that answers what the test wants.
type flagServer struct {
	*httptest.Server

	mu     sync.Mutex
	answer http.HandlerFunc
	asked  []recordedRequest
}

type recordedRequest struct {
	path   string // escaped
	header http.Header
	body   string
}

func newServer(t testing.TB, answer http.HandlerFunc) *flagServer {
	t.Helper()
	s := &flagServer{answer: answer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *flagServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.asked = append(s.asked, recordedRequest{r.Method + " " + r.URL.EscapedPath(), r.Header.Clone(), string(body)})
	answer := s.answer
	s.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer(w, r)
}

// answers changes what the server answers.
func (s *flagServer) answers(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// takeAsked returns the requests since it was last called.
func (s *flagServer) takeAsked() []recordedRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func answerJSON(body string) http.HandlerFunc { return answerStatus(http.StatusOK, body) }

func answerStatus(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// fakeClock stands still unless it is moved.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

func newClock(text string) *fakeClock {
	now, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return &fakeClock{now: now}
}

// newClient returns a provider that asks the server when a test refreshes it.
func newClient(t testing.TB, url string, change ...func(*client.Options)) *client.Provider {
	t.Helper()
	options := client.Options{URL: url, Poll: time.Hour}
	for _, change := range change {
		change(&options)
	}
	p, err := client.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Shutdown)
	return p
}

func expectNoLeak(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

func keep(t testing.TB, p *client.Provider, keys []string, contexts ...openfeature.FlattenedContext) {
	t.Helper()
	if err := p.Cache(contexts, keys); err != nil {
		t.Fatal(err)
	}
}

func refresh(t testing.TB, p *client.Provider) {
	t.Helper()
	if err := p.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

var (
	france  = openfeature.FlattenedContext{"targetingKey": "FR", "jurisdiction": "FR"}
	germany = openfeature.FlattenedContext{"targetingKey": "DE", "jurisdiction": "DE"}
	user    = openfeature.FlattenedContext{"targetingKey": "user-123", "email": "user@example.com"}
)

// resolution is what an evaluation told.
type resolution struct {
	Value   any
	Reason  string
	Variant string
	Error   string
}

func resolutionOf[T any](detail openfeature.GenericResolutionDetail[T]) resolution {
	got := resolution{Value: detail.Value, Reason: string(detail.Reason), Variant: detail.Variant}
	if err := detail.Error(); err != nil {
		got.Error = err.Error()
	}
	return got
}

func expect(t *testing.T, got, want resolution) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func errorCode(err error) string {
	if err == nil {
		return ""
	}
	code, _, _ := strings.Cut(err.Error(), ":")
	return code
}

func TestReadsTheExamplesOfOFREP(t *testing.T) {
	example := func(name string) string {
		body, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	source := newServer(t, nil)
	p := newClient(t, source.URL)

	source.answers(answerJSON(example("single.json")))
	expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "discount-banner", false, user)), resolution{Value: true, Reason: "TARGETING_MATCH", Variant: "enabled"})
	source.answers(answerJSON(example("single-explicit.json")))
	expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "new-feature", false, user)), resolution{Value: true, Reason: "TARGETING_MATCH", Variant: "treatment"})
	source.answers(answerJSON(example("single-code-default.json")))
	expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "new-feature", true, user)), resolution{Value: true, Reason: "DEFAULT", Variant: "control"})

	for _, name := range []string{"bulk.json", "bulk-event-streams.json"} {
		source.answers(answerJSON(example(name)))
		keep(t, p, []string{"discount-banner", "theme-color", "non-existent-flag"}, france)
		refresh(t, p)
		expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "discount-banner", false, france)), resolution{Value: true, Reason: "TARGETING_MATCH", Variant: "enabled"})
		expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "non-existent-flag", true, france)), resolution{Value: true, Reason: "ERROR", Error: "FLAG_NOT_FOUND: the flag server has no flag of this key"})
	}

	source.answers(answerJSON(example("bulk.json")))
	refresh(t, p)
	expect(t, resolutionOf(p.StringEvaluation(t.Context(), "theme-color", "red", france)), resolution{Value: "blue", Reason: "STATIC", Variant: "default"})
}

func TestTellsTypesApart(t *testing.T) {
	const (
		mismatch = "TYPE_MISMATCH"
		unread   = "PARSE_ERROR"
	)
	type values struct{ Boolean, String, Integer, Float, Any any } // or the code of the error
	for name, test := range map[string]struct {
		json string
		want values
	}{
		"a boolean":                           {`true`, values{true, mismatch, mismatch, mismatch, true}},
		"a string":                            {`"blue"`, values{mismatch, "blue", mismatch, mismatch, "blue"}},
		"a string that looks like a boolean":  {`"true"`, values{mismatch, "true", mismatch, mismatch, "true"}},
		"a string that looks like a number":   {`"3"`, values{mismatch, "3", mismatch, mismatch, "3"}},
		"an empty string":                     {`""`, values{mismatch, "", mismatch, mismatch, ""}},
		"an integer is a float, too":          {`3`, values{mismatch, mismatch, int64(3), 3.0, int64(3)}},
		"zero is no false":                    {`0`, values{mismatch, mismatch, int64(0), 0.0, int64(0)}},
		"a fraction is no integer":            {`2.5`, values{mismatch, mismatch, mismatch, 2.5, 2.5}},
		"a fraction of zero is no integer":    {`3.0`, values{mismatch, mismatch, mismatch, 3.0, 3.0}},
		"an exponent is no integer":           {`1e3`, values{mismatch, mismatch, mismatch, 1000.0, 1000.0}},
		"the largest integer that is exact":   {`9007199254740991`, values{mismatch, mismatch, int64(1<<53 - 1), float64(1<<53 - 1), int64(1<<53 - 1)}},
		"the least integer that is exact":     {`-9007199254740991`, values{mismatch, mismatch, int64(1 - 1<<53), float64(1 - 1<<53), int64(1 - 1<<53)}},
		"an integer that JSON may round":      {`9007199254740993`, values{mismatch, mismatch, unread, unread, unread}},
		"an integer beyond int64":             {`18446744073709551616`, values{mismatch, mismatch, unread, unread, unread}},
		"the largest float":                   {`1.7976931348623157e308`, values{mismatch, mismatch, mismatch, math.MaxFloat64, math.MaxFloat64}},
		"an object":                           {`{"a": 1, "b": [true, 2.5, null]}`, values{mismatch, mismatch, mismatch, mismatch, map[string]any{"a": int64(1), "b": []any{true, 2.5, nil}}}},
		"a list":                              {`[]`, values{mismatch, mismatch, mismatch, mismatch, []any{}}},
		"an object with an integer too large": {`{"a": 9007199254740993}`, values{mismatch, mismatch, mismatch, mismatch, unread}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newClient(t, newServer(t, answerJSON(`{"key": "f", "reason": "STATIC", "value": `+test.json+`}`)).URL)
			got := values{
				Boolean: valueOf(t, p.BooleanEvaluation(t.Context(), "f", false, user), false),
				String:  valueOf(t, p.StringEvaluation(t.Context(), "f", "fallback", user), "fallback"),
				Integer: valueOf(t, p.IntEvaluation(t.Context(), "f", -1, user), -1),
				Float:   valueOf(t, p.FloatEvaluation(t.Context(), "f", -1, user), -1),
				Any:     valueOf(t, p.ObjectEvaluation(t.Context(), "f", nil, user), nil),
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// valueOf returns the value, or the code of the error if there is one.
func valueOf[T any](t *testing.T, detail openfeature.GenericResolutionDetail[T], fallback T) any {
	t.Helper()
	err := detail.Error()
	if err == nil {
		return detail.Value
	}
	if !cmp.Equal(detail.Value, fallback) || detail.Reason != openfeature.ErrorReason {
		t.Errorf("with an error, the value is %v and the reason %s", detail.Value, detail.Reason)
	}
	return errorCode(err)
}

func TestPassesReasonsOnAndInventsNone(t *testing.T) {
	for name, test := range map[string]struct {
		json string
		want resolution
	}{
		"as the server says":                 {`{"key": "f", "value": true, "reason": "STATIC"}`, resolution{Value: true, Reason: "STATIC"}},
		"one that OpenFeature does not have": {`{"key": "f", "value": true, "reason": "RULE_7"}`, resolution{Value: true, Reason: "RULE_7"}},
		"cached":                             {`{"key": "f", "value": true, "reason": "CACHED"}`, resolution{Value: true, Reason: "CACHED"}},
		"a default of the server":            {`{"key": "f", "value": true, "reason": "DEFAULT"}`, resolution{Value: true, Reason: "DEFAULT"}},
		"none":                               {`{"key": "f", "value": true}`, resolution{Value: true, Reason: "UNKNOWN"}},
		"null":                               {`{"key": "f", "value": true, "reason": null, "variant": null, "metadata": null, "errorCode": null}`, resolution{Value: true, Reason: "UNKNOWN"}},
		"too long":                           {`{"key": "f", "value": true, "reason": "` + strings.Repeat("R", 300) + `"}`, resolution{Value: true, Reason: "UNKNOWN"}},
		"disabled, with a value":             {`{"key": "f", "value": true, "reason": "DISABLED"}`, resolution{Value: true, Reason: "DISABLED"}},
		"disabled, without a value":          {`{"key": "f", "reason": "DISABLED"}`, resolution{Value: false, Reason: "DISABLED"}},
		"the default in the code":            {`{"key": "f", "reason": "DEFAULT", "variant": "control"}`, resolution{Value: false, Reason: "DEFAULT", Variant: "control"}},
		"the default in the code, by another name":     {`{"key": "f", "reason": "STATIC"}`, resolution{Value: false, Reason: "DEFAULT"}},
		"the default in the code, by no name":          {`{"key": "f"}`, resolution{Value: false, Reason: "DEFAULT"}},
		"the default in the code, by a value of null":  {`{"key": "f", "value": null, "reason": "TARGETING_MATCH"}`, resolution{Value: false, Reason: "DEFAULT"}},
		"the key in a single evaluation is optional":   {`{"value": true, "reason": "STATIC"}`, resolution{Value: true, Reason: "STATIC"}},
		"members that OFREP doesn't have are let pass": {`{"key": "f", "value": true, "reason": "SPLIT", "cacheable": true, "VALUE": false}`, resolution{Value: true, Reason: "SPLIT"}},
	} {
		t.Run(name, func(t *testing.T) {
			single := newClient(t, newServer(t, answerJSON(test.json)).URL)
			expect(t, resolutionOf(single.BooleanEvaluation(t.Context(), "f", false, user)), test.want)

			if !strings.Contains(test.json, `"key"`) {
				return
			}
			kept := newClient(t, newServer(t, answerJSON(`{"flags": [`+test.json+`]}`)).URL)
			keep(t, kept, []string{"f"}, france)
			refresh(t, kept)
			expect(t, resolutionOf(kept.BooleanEvaluation(t.Context(), "f", false, france)), test.want)
		})
	}
}

func TestMapsErrorCodes(t *testing.T) {
	for code, message := range map[string]string{
		"FLAG_NOT_FOUND":        "FLAG_NOT_FOUND: the flag server has no flag of this key",
		"PARSE_ERROR":           "PARSE_ERROR: the flag server can't read the flag's definition: correct it there",
		"TARGETING_KEY_MISSING": "TARGETING_KEY_MISSING: the flag server wants a targeting key: add one to the context",
		"INVALID_CONTEXT":       "INVALID_CONTEXT: the flag server can't use the context: look into its log",
		"TYPE_MISMATCH":         "TYPE_MISMATCH: the flag server finds the flag's value to be of another type: correct it there",
		"PROVIDER_NOT_READY":    "PROVIDER_NOT_READY: the flag server is not ready: look into its log",
		"GENERAL":               "GENERAL: the flag server failed to evaluate the flag: look into its log",
		"PROVIDER_FATAL":        "GENERAL: the flag server failed to evaluate the flag: look into its log",
		"OUT_OF_CHEESE":         "GENERAL: the flag server reports an error by a code that OpenFeature does not have: look into its log",
	} {
		t.Run(code, func(t *testing.T) {
			failure := fmt.Sprintf(`{"key": "f", "errorCode": %q, "errorDetails": "secret", "value": true}`, code)
			want := resolution{Value: false, Reason: "ERROR", Error: message}
			source := newServer(t, nil)
			p := newClient(t, source.URL)
			for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusNotFound} {
				source.answers(answerStatus(status, failure))
				expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "f", false, user)), want)
			}
			source.answers(answerJSON(`{"flags": [` + failure + `]}`))
			keep(t, p, []string{"f"}, france)
			refresh(t, p)
			expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "f", false, france)), want)
		})
	}
}

func TestAsksForOneFlagWithTheContextOfTheCall(t *testing.T) {
	source := newServer(t, answerJSON(`{"value": true, "reason": "STATIC"}`))
	calls := 0
	p := newClient(t, source.URL+"/flags/", func(o *client.Options) {
		o.Headers = func() (http.Header, error) {
			calls++
			return http.Header{"Authorization": {fmt.Sprintf("Bearer token-%d", calls)}, "X-Api-Key": {"key"}, "Content-Type": {"text/plain"}}, nil
		}
	})
	for key, path := range map[string]string{
		"f":              "/flags/ofrep/v1/evaluate/flags/f",
		"a/b c?d#e%2Ff":  "/flags/ofrep/v1/evaluate/flags/a%2Fb%20c%3Fd%23e%252Ff",
		"exitgate.phase": "/flags/ofrep/v1/evaluate/flags/exitgate.phase",
		"Ünïcødé":        "/flags/ofrep/v1/evaluate/flags/%C3%9Cn%C3%AFc%C3%B8d%C3%A9",
	} {
		before := calls
		expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), key, false, user)), resolution{Value: true, Reason: "STATIC"})
		asked := source.takeAsked()
		if len(asked) != 1 || asked[0].path != "POST "+path {
			t.Fatalf("asked %v for %q, not %s", asked, key, path)
		}
		header := asked[0].header
		if got := header.Get("Authorization"); got != fmt.Sprintf("Bearer token-%d", before+1) {
			t.Errorf("Authorization is %q", got)
		}
		if header.Get("X-API-Key") != "key" || header.Get("Content-Type") != "application/json" || header.Get("If-None-Match") != "" {
			t.Errorf("the headers are %v", header)
		}
		var body any
		if err := json.Unmarshal([]byte(asked[0].body), &body); err != nil {
			t.Fatal(err)
		}
		want := any(map[string]any{"context": map[string]any{"targetingKey": "user-123", "email": "user@example.com"}})
		if diff := cmp.Diff(want, body); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}

	p.BooleanEvaluation(t.Context(), "f", false, nil)
	if asked := source.takeAsked(); asked[0].body != `{"context":{}}` {
		t.Errorf("without a context, the body is %s", asked[0].body)
	}
}

func TestTakesNoOtherFlagForTheOneItAskedFor(t *testing.T) {
	source := newServer(t, answerJSON(`{"key": "g", "value": true, "reason": "STATIC"}`))
	want := "GENERAL: the flag server at " + source.URL + " sent an answer that can't be used: it is for another flag: look into its log and for a newer version of it"
	expect(t, resolutionOf(newClient(t, source.URL).BooleanEvaluation(t.Context(), "f", false, user)), resolution{Value: false, Reason: "ERROR", Error: want})
}

func TestSendsNothingThatCouldMeanSomethingElse(t *testing.T) {
	source := newServer(t, answerJSON(`{"flags": []}`))
	p := newClient(t, source.URL)
	for _, key := range []string{"", ".", "..", "\xff", strings.Repeat("k", 257)} {
		if got := p.BooleanEvaluation(t.Context(), key, false, user).Error(); errorCode(got) != "FLAG_NOT_FOUND" {
			t.Errorf("%.10q: %v", key, got)
		}
	}
	for _, value := range []any{math.NaN(), math.Inf(1), make(chan int), func() {}} {
		flat := openfeature.FlattenedContext{"targetingKey": "secret", "a": value}
		want := "INVALID_CONTEXT: the context can't be sent as JSON: use booleans, strings and finite numbers"
		if got := p.BooleanEvaluation(t.Context(), "f", false, flat).Error(); got == nil || got.Error() != want {
			t.Errorf("%T: %v", value, got)
		}
		if _, _, err := p.Prefetch(t.Context(), flat); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%T: %v", value, err)
		}
		err := p.Cache([]openfeature.FlattenedContext{france, flat}, []string{"f"})
		if err == nil || err.Error() != "of the contexts to keep, number 2 of 2 can't be sent as JSON: use booleans, strings and finite numbers" {
			t.Errorf("%T: %v", value, err)
		}
	}
	if asked := source.takeAsked(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
}

func TestRejectsURLs(t *testing.T) {
	for url, want := range map[string]string{
		"":                               "the flag server's URL begins with neither http:// nor https://: write it like https://flags.example.org (flags.ofrep.url)",
		"flags.example.org":              "the flag server's URL begins with neither http:// nor https://: write it like https://flags.example.org (flags.ofrep.url)",
		"flags.example.org:8016":         "the flag server's URL begins with neither http:// nor https://: write it like https://flags.example.org (flags.ofrep.url)",
		"127.0.0.1:8016":                 "the flag server's URL is not one: write it like https://flags.example.org (flags.ofrep.url)",
		"ftp://flags.example.org":        "the flag server's URL begins with neither http:// nor https://: write it like https://flags.example.org (flags.ofrep.url)",
		"https://":                       "the flag server's URL names no host: write it like https://flags.example.org (flags.ofrep.url)",
		"https://:8016":                  "the flag server's URL names no host: write it like https://flags.example.org (flags.ofrep.url)",
		"https://me:secret@example.org":  "the flag server's URL has a user or password in it: take it out of flags.ofrep.url, and put a token into flags.ofrep.token-file",
		"https://example.org?key=secret": "the flag server's URL has a query or fragment: leave it out of flags.ofrep.url, and put a token into flags.ofrep.token-file",
		"https://example.org#secret":     "the flag server's URL has a query or fragment: leave it out of flags.ofrep.url, and put a token into flags.ofrep.token-file",
		"https://me:sec%ret@example.org": "the flag server's URL is not one: write it like https://flags.example.org (flags.ofrep.url)",
		"https://example.org/ofrep/v1":   "the flag server's URL https://example.org/ofrep/v1 goes on after its base: leave out /ofrep/v1 and what follows (flags.ofrep.url)",
		"https://example.org":            "",
		"https://example.org/":           "",
		"http://[::1]:8016/ofrep":        "",
		"https://ofrep/proxy":            "",
	} {
		got := ""
		if _, err := client.New(client.Options{URL: url}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q", url, got)
		}
	}
}

func TestPrefetchesForAContext(t *testing.T) {
	source := newServer(t, answerJSON(`{"flags": [
		{"key": "b", "value": {"deep": [1, 2.5]}, "reason": "STATIC", "metadata": {"team": "shop", "level": 3, "on": true, "odd": null, "list": []}},
		{"key": "a", "value": true, "reason": "SPLIT"},
		{"key": "gone", "errorCode": "FLAG_NOT_FOUND"},
		{"key": "broken", "errorCode": "GENERAL"}]}`))
	p := newClient(t, source.URL)
	ctx, keys, err := p.Prefetch(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "a", "broken"}, keys); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if asked := source.takeAsked(); len(asked) != 1 || asked[0].path != "POST /ofrep/v1/evaluate/flags" || !strings.Contains(asked[0].body, "user-123") {
		t.Errorf("asked %v", asked)
	}
	source.Close()

	expect(t, resolutionOf(p.BooleanEvaluation(ctx, "a", false, user)), resolution{Value: true, Reason: "SPLIT"})
	object := p.ObjectEvaluation(ctx, "b", nil, user)
	expect(t, resolutionOf(object), resolution{Value: map[string]any{"deep": []any{int64(1), 2.5}}, Reason: "STATIC"})
	if diff := cmp.Diff(openfeature.FlagMetadata{"team": "shop", "level": int64(3), "on": true}, object.FlagMetadata); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// Who gets an object may change it: it is nobody else's.
	object.Value.(map[string]any)["deep"] = "changed"
	expect(t, resolutionOf(p.ObjectEvaluation(ctx, "b", nil, user)), resolution{Value: map[string]any{"deep": []any{int64(1), 2.5}}, Reason: "STATIC"})
	for _, missing := range []string{"gone", "unheard-of"} {
		if got := p.BooleanEvaluation(ctx, missing, false, user).Error(); errorCode(got) != "FLAG_NOT_FOUND" {
			t.Errorf("%s: %v", missing, got)
		}
	}
	// It holds for that context and for that provider alone.
	for _, got := range []error{
		p.BooleanEvaluation(ctx, "a", false, france).Error(),
		p.BooleanEvaluation(t.Context(), "a", false, user).Error(),
		newClient(t, source.URL).BooleanEvaluation(ctx, "a", false, user).Error(),
	} {
		if errorCode(got) != "GENERAL" {
			t.Errorf("a server that is gone was not asked: %v", got)
		}
	}
}

func TestSaysWhyNothingWasPrefetched(t *testing.T) {
	source := newServer(t, nil)
	p := newClient(t, source.URL)
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"a context it can't use": {answerStatus(400, `{"errorCode": "TARGETING_KEY_MISSING", "errorDetails": "secret"}`), "the flag server wants a targeting key: add one to the context"},
		"another server":         {answerStatus(404, `404 page not found`), "the flag server at URL answered 404 without an error code: check flags.ofrep.url, it is what comes before /ofrep"},
		"half an answer":         {answerJSON(`{"flags": [`), "the flag server at URL sent an answer that can't be used: it is not JSON, or only a part of it: look into its log and for a newer version of it"},
		"an answer from nowhere": {answerStatus(304, ``), "the flag server at URL answered 304 to what was not asked conditionally: look into its log"},
	} {
		source.answers(test.answer)
		if _, _, err := p.Prefetch(t.Context(), user); err == nil || strings.ReplaceAll(err.Error(), source.URL, "URL") != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStopsWhenTheCallerDoes(t *testing.T) {
	expectNoLeak(t)
	asked, release := make(chan struct{}), make(chan struct{})
	source := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-release
	})
	defer close(release)
	p := newClient(t, source.URL)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	want := "GENERAL: the flag server had not answered when the caller stopped waiting"
	if got := p.BooleanEvaluation(ctx, "f", false, user).Error(); got == nil || got.Error() != want {
		t.Error(got)
	}

	// That is no fault of the server.
	keep(t, p, []string{"f"}, france)
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if err := p.Refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if status := p.Status(); status.Err != nil {
		t.Error(status.Err)
	}
}

// newLogger returns a logger, and what was logged.
func newLogger() (*slog.Logger, *testkit.Buffer) {
	written := new(testkit.Buffer)
	return slog.New(slog.NewTextHandler(written, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})), written
}
