package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/flags/ofrep"
	"github.com/exitgate/exitgate/flags/ofrep/server"
	"github.com/exitgate/exitgate/internal/testkit"
)

const guard = "withheld in FR: end-to-end-encryption would be false, and the policy guarantees true"

// table evaluates by the context's jurisdiction. In FR the source would
// answer below the floor, so the guard answers in its place.
var table = map[string]func(context map[string]any) ofrep.Evaluation{
	"end-to-end-encryption": func(context map[string]any) ofrep.Evaluation {
		if context["jurisdiction"] == "FR" {
			return ofrep.Evaluation{ErrorCode: "GENERAL", ErrorDetails: guard}
		}
		return ofrep.Evaluation{Value: json.RawMessage(`true`), Reason: "STATIC"}
	},
	"message-retention-days": func(context map[string]any) ofrep.Evaluation {
		return ofrep.Evaluation{Value: json.RawMessage(`0`), Reason: "STATIC", Metadata: map[string]any{"demand": "fr-narcotrafic-8ter"}}
	},
	"imprint": func(context map[string]any) ofrep.Evaluation {
		if context["jurisdiction"] == "DE" {
			return ofrep.Evaluation{Value: json.RawMessage(`"Impressum <§ 5 DDG>"`), Variant: "german", Reason: "TARGETING_MATCH"}
		}
		return ofrep.Evaluation{Value: json.RawMessage(`"About"`), Variant: "other", Reason: "DEFAULT"}
	},
	"limits": func(context map[string]any) ofrep.Evaluation {
		return ofrep.Evaluation{Value: json.RawMessage(`{"upload-mb": 12.5, "rooms": [1, 2]}`), Reason: "SPLIT"}
	},
	"not-rolled-out": func(context map[string]any) ofrep.Evaluation {
		return ofrep.Evaluation{Reason: "DISABLED"}
	},
	"by-user": func(context map[string]any) ofrep.Evaluation {
		if _, found := context["targetingKey"]; !found {
			return ofrep.Evaluation{ErrorCode: "TARGETING_KEY_MISSING", ErrorDetails: "by-user is split by user: send a targetingKey"}
		}
		return ofrep.Evaluation{Value: json.RawMessage(`"b"`), Reason: "SPLIT"}
	},
}

func evaluate(_ context.Context, key string, context map[string]any) ofrep.Evaluation {
	evaluate, found := table[key]
	if !found {
		return ofrep.Evaluation{ErrorCode: "FLAG_NOT_FOUND", ErrorDetails: "no flag has this key"}
	}
	return evaluate(context)
}

func evaluateAll(ctx context.Context, context map[string]any) ([]ofrep.Evaluation, error) {
	if context["jurisdiction"] == "nowhere" {
		return nil, errors.New("the flag source has never answered: see /readyz")
	}
	var all []ofrep.Evaluation
	for _, key := range slices.Backward(slices.Sorted(maps.Keys(table))) {
		evaluation := evaluate(ctx, key, context)
		evaluation.Key = key
		all = append(all, evaluation)
	}
	return all, nil
}

func ofTable() http.Handler {
	return server.New(server.Options{Evaluate: evaluate, EvaluateAll: evaluateAll})
}

// answering returns a handler with one answer to all.
func answering(e ofrep.Evaluation) http.Handler {
	return server.New(server.Options{
		Evaluate: func(context.Context, string, map[string]any) ofrep.Evaluation { return e },
		EvaluateAll: func(context.Context, map[string]any) ([]ofrep.Evaluation, error) {
			e.Key = "flag"
			return []ofrep.Evaluation{e}, nil
		},
	})
}

const (
	bulkPath = "/ofrep/v1/evaluate/flags"
	onePath  = bulkPath + "/"
)

func post(h http.Handler, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnswers(t *testing.T) {
	for name, request := range map[string]struct{ path, body string }{
		"a boolean":                              {"end-to-end-encryption", `{"context": {"jurisdiction": "DE"}}`},
		"what the guard withholds":               {"end-to-end-encryption", `{"context": {"jurisdiction": "FR", "targetingKey": "u-17"}}`},
		"a number with metadata":                 {"message-retention-days", `{"context": {"jurisdiction": "FR"}}`},
		"a string":                               {"imprint", `{"context": {"jurisdiction": "DE"}}`},
		"a reason that OFREP lacks":              {"imprint", `{"context": {"jurisdiction": "US-MS"}}`},
		"an object":                              {"limits", ``},
		"the default in the code":                {"not-rolled-out", `{}`},
		"a flag that is missing":                 {"no/such flag", `{}`},
		"a flag that needs to know the user":     {"by-user", `{"context": {}}`},
		"all flags":                              {"", `{"context": {"jurisdiction": "DE", "targetingKey": "u-17"}}`},
		"all flags with failures":                {"", `{"context": {"jurisdiction": "FR"}}`},
		"all flags of a source that is down":     {"", `{"context": {"jurisdiction": "nowhere"}}`},
		"one flag for half a context":            {"imprint", `{"context": {"jurisdiction"`},
		"all flags for a context that is a list": {"", `{"context": []}`},
	} {
		t.Run(name, func(t *testing.T) {
			path := bulkPath
			if request.path != "" {
				path = onePath + strings.ReplaceAll(request.path, " ", "%20")
			}
			w := post(ofTable(), path, request.body)
			expectConforming(t, path, w.Code, w.Body.Bytes())

			var got strings.Builder
			fmt.Fprintf(&got, "POST %s\n%s\n\n%d\n", path, request.body, w.Code)
			if err := w.Result().Header.Write(&got); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&got, "\n%s", w.Body)
			golden := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".golden")
			testkit.Golden(t, golden, strings.ReplaceAll(got.String(), "\r\n", "\n"))
		})
	}
}

func TestRejects(t *testing.T) {
	deep := func(levels int) string {
		return `{"context": ` + strings.Repeat(`{"a":`, levels-1) + `{}` + strings.Repeat(`}`, levels-1) + `}`
	}
	inLists := func(levels int) string {
		return `{"context": {"a":` + strings.Repeat(`[`, levels-1) + strings.Repeat(`]`, levels-1) + `}}`
	}
	for name, test := range map[string]struct{ body, code, details string }{
		"half a JSON":                            {`{"context": {"targetingKey": "u`, "PARSE_ERROR", `the body is not JSON: unexpected end at byte 31`},
		"something after the end":                {`{"context": {}} {}`, "PARSE_ERROR", `the body is not JSON: not one JSON value at byte 16`},
		"a comma too many":                       {`{"context": {"a": 1,}}`, "PARSE_ERROR", `the body is not JSON: not one JSON value at byte 19`},
		"what is no JSON":                        {"context=DE", "PARSE_ERROR", `the body is not JSON: not one JSON value at byte 0`},
		"bytes that are not UTF-8":               {"{\"context\": {\"a\": \"\xff\"}}", "PARSE_ERROR", `the body is not UTF-8: send JSON in UTF-8, without compression`},
		"a list":                                 {`[{"context": {}}]`, "PARSE_ERROR", `the body is not a JSON object: send {"context": {...}}`},
		"a number":                               {`9007199254740993`, "PARSE_ERROR", `the body is not a JSON object: send {"context": {...}}`},
		"null":                                   {`null`, "PARSE_ERROR", `the body is not a JSON object: send {"context": {...}}`},
		"a context that is a string":             {`{"context": "DE"}`, "INVALID_CONTEXT", `context is not an object: send {"context": {"targetingKey": "...", ...}}`},
		"a context that is a list":               {`{"context": [{}]}`, "INVALID_CONTEXT", `context is not an object: send {"context": {"targetingKey": "...", ...}}`},
		"a targeting key that is a number":       {`{"context": {"targetingKey": 17}}`, "INVALID_CONTEXT", `targetingKey is not a string: send it as one, or leave it out`},
		"a targeting key that is null":           {`{"context": {"targetingKey": null}}`, "INVALID_CONTEXT", `targetingKey is not a string: send it as one, or leave it out`},
		"two contexts":                           {`{"context": {"a": 1}, "context": {}}`, "INVALID_CONTEXT", `context is there twice: send it once`},
		"two equal keys":                         {`{"context": {"jurisdiction": "DE", "jurisdiction": "FR"}}`, "INVALID_CONTEXT", `context.jurisdiction is there twice: send it once`},
		"two keys that are equal once unescaped": {`{"context": {"a": {"plan": 1, "pl\u0061n": 2}}}`, "INVALID_CONTEXT", `context.a.plan is there twice: send it once`},
		"two equal keys that are long":           {`{"` + strings.Repeat("k", 100) + `": 1, "` + strings.Repeat("k", 100) + `": 1}`, "INVALID_CONTEXT", strings.Repeat("k", 64) + `… is there twice: send it once`},
		"33 levels of objects":                   {deep(33), "INVALID_CONTEXT", `the context is nested deeper than 32 levels: flatten it`},
		"33 levels of lists":                     {inLists(33), "INVALID_CONTEXT", `the context is nested deeper than 32 levels: flatten it`},
		"a thousand levels":                      {deep(1000), "INVALID_CONTEXT", `the context is nested deeper than 32 levels: flatten it`},
		"ten thousand levels":                    {inLists(10_000), "INVALID_CONTEXT", `the context is nested deeper than 32 levels: flatten it`},
		"a number beyond float64":                {`{"context": {"scores": [1, -1e400]}}`, "INVALID_CONTEXT", `context.scores[1] is a number beyond what float64 holds: send it as a string`},
		"an integer that float64 would change":   {`{"context": {"id": 9007199254740993}}`, "INVALID_CONTEXT", `context.id is an integer beyond 2^53, which would be changed on the way: send it as a string`},
		"more than 64 KiB":                       {`{"context": {"a": "` + strings.Repeat("a", 64<<10) + `"}}`, "PARSE_ERROR", `the body is longer than 65536 bytes: send only the attributes that flags are targeted by`},
	} {
		t.Run(name, func(t *testing.T) {
			h := withoutEvaluations(t)
			for _, path := range []string{onePath + "imprint", bulkPath} {
				w := post(h, path, test.body)
				want := map[string]any{"errorCode": test.code, "errorDetails": test.details}
				if path != bulkPath {
					want["key"] = "imprint"
				}
				expect(t, path, w, http.StatusBadRequest, want)
			}
		})
	}
}

// withoutEvaluations fails the test when anything is evaluated.
func withoutEvaluations(t *testing.T) http.Handler {
	return server.New(server.Options{
		Evaluate: func(context.Context, string, map[string]any) ofrep.Evaluation {
			t.Error("a flag was evaluated")
			return ofrep.Evaluation{}
		},
		EvaluateAll: func(context.Context, map[string]any) ([]ofrep.Evaluation, error) {
			t.Error("all flags were evaluated")
			return nil, nil
		},
	})
}

func expect(t *testing.T, path string, w *httptest.ResponseRecorder, status int, want map[string]any) {
	t.Helper()
	if w.Code != status {
		t.Errorf("%s: status %d, not %d", path, w.Code, status)
	}
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: not as expected:\n%s", path, diff)
	}
	expectConforming(t, path, w.Code, w.Body.Bytes())
}

func TestReadsContexts(t *testing.T) {
	deep := `{"context": ` + strings.Repeat(`{"a":`, 31) + `{}` + strings.Repeat(`}`, 31) + `}`
	for name, test := range map[string]struct{ body, want string }{
		"an empty body":                            {``, `{}`},
		"white space":                              {" \r\n\t", `{}`},
		"an empty object":                          {`{}`, `{}`},
		"an empty context":                         {`{"context": {}}`, `{}`},
		"null for no context":                      {`{"context": null}`, `{}`},
		"a context in another spelling":            {`{"Context": {"a": 1}}`, `{}`},
		"what a later OFREP may add":               {`{"flags": ["a"], "context": {"a": 1}}`, `{"a": 1}`},
		"every type":                               {`{"context": {"s": "é\n", "b": true, "n": null, "f": -1.5e3, "l": [1, {"x": []}], "o": {"": 0}}}`, `{"s": "é\n", "b": true, "n": null, "f": -1500, "l": [1, {"x": []}], "o": {"": 0}}`},
		"a targeting key":                          {`{"context": {"targetingKey": ""}}`, `{"targetingKey": ""}`},
		"equal keys in different objects":          {`{"context": {"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]}}`, `{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]}`},
		"the last integer that float64 is sure of": {`{"context": {"id": -9007199254740992}}`, `{"id": -9007199254740992}`},
		"a large number that says it is a float":   {`{"context": {"stars": 1e24}}`, `{"stars": 1e24}`},
		"32 levels":                                {deep, deep[len(`{"context": `) : len(deep)-1]},
	} {
		t.Run(name, func(t *testing.T) {
			var want map[string]any
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			got := 0
			expect := func(context map[string]any) {
				got++
				if diff := cmp.Diff(want, context); diff != "" {
					t.Errorf("not the context:\n%s", diff)
				}
			}
			h := server.New(server.Options{
				Evaluate: func(_ context.Context, key string, context map[string]any) ofrep.Evaluation {
					expect(context)
					return ofrep.Evaluation{}
				},
				EvaluateAll: func(_ context.Context, context map[string]any) ([]ofrep.Evaluation, error) {
					expect(context)
					return nil, nil
				},
			})
			for _, path := range []string{onePath + "a", bulkPath} {
				if w := post(h, path, test.body); w.Code != http.StatusOK {
					t.Errorf("%s: %d %s", path, w.Code, w.Body)
				}
			}
			if got != 2 {
				t.Errorf("evaluated %d times", got)
			}
		})
	}
}

func TestReadsKeys(t *testing.T) {
	long := strings.Repeat("k", 256)
	for name, test := range map[string]struct{ path, key string }{
		"a plain key":                    {"imprint", "imprint"},
		"a key with a slash":             {"web%2Fimprint", "web/imprint"},
		"a slash that was not escaped":   {"web/imprint", "web/imprint"},
		"a key that is not ASCII":        {"%C3%A9t%C3%A9", "été"},
		"a key with what URLs split by":  {"a%3Fb%23c%25", "a?b#c%"},
		"a key of 256 bytes":             {long, long},
		"a key with an event's metadata": {"imprint?flagConfigEtag=abc", "imprint"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			h := server.New(server.Options{Evaluate: func(_ context.Context, key string, _ map[string]any) ofrep.Evaluation {
				got = key
				return ofrep.Evaluation{Key: "another", Value: json.RawMessage(`true`)}
			}})
			w := post(h, onePath+test.path, `{}`)
			if got != test.key {
				t.Errorf("evaluated %q", got)
			}
			expect(t, test.path, w, http.StatusOK, map[string]any{"key": test.key, "value": true, "reason": "UNKNOWN"})
		})
	}

	for name, test := range map[string]struct{ path, key, details string }{
		"no key":                  {"", "", "the path ends without a flag: add its key, or leave out the last slash for all flags"},
		"a key of 257 bytes":      {long + "k", long, "the flag's key is longer than 256 bytes: shorten it"},
		"a key that is not UTF-8": {"caf%E9", "caf\uFFFD", "the flag's key is not UTF-8: percent-encode its UTF-8 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			w := post(withoutEvaluations(t), onePath+test.path, `{}`)
			expect(t, test.path, w, http.StatusBadRequest, map[string]any{"key": test.key, "errorCode": "PARSE_ERROR", "errorDetails": test.details})
		})
	}
}

func TestConformsWhateverIsEvaluated(t *testing.T) {
	type fields = map[string]any
	for name, test := range map[string]struct {
		evaluated ofrep.Evaluation
		status    int
		want      fields
	}{
		"a failure never carries a value": {
			ofrep.Evaluation{Value: json.RawMessage(`false`), Reason: "ERROR", Variant: "off", ErrorCode: "GENERAL", ErrorDetails: guard},
			400, fields{"errorCode": "GENERAL", "errorDetails": guard}},
		"a failure keeps its metadata": {
			ofrep.Evaluation{ErrorCode: "INVALID_CONTEXT", Metadata: fields{"version": "v12"}},
			400, fields{"errorCode": "INVALID_CONTEXT", "metadata": fields{"version": "v12"}}},
		"a code that OFREP lacks": {
			ofrep.Evaluation{ErrorCode: "TYPE_MISMATCH", ErrorDetails: "the variant is a string"},
			400, fields{"errorCode": "GENERAL", "errorDetails": "TYPE_MISMATCH: the variant is a string"}},
		"a source that has never answered": {
			ofrep.Evaluation{ErrorCode: "PROVIDER_NOT_READY"},
			500, fields{"errorCode": "GENERAL", "errorDetails": "PROVIDER_NOT_READY"}},
		"a source that won't answer again": {
			ofrep.Evaluation{ErrorCode: "PROVIDER_FATAL", ErrorDetails: "the token has ended"},
			500, fields{"errorCode": "GENERAL", "errorDetails": "PROVIDER_FATAL: the token has ended"}},
		"a list": {
			ofrep.Evaluation{Value: json.RawMessage(` [1]`), Reason: "STATIC"},
			400, fields{"errorCode": "GENERAL", "errorDetails": "OFREP carries no lists and no null: make the flag's value an object"}},
		"null": {
			ofrep.Evaluation{Value: json.RawMessage(`null`), Reason: "STATIC"},
			400, fields{"errorCode": "GENERAL", "errorDetails": "OFREP carries no lists and no null: make the flag's value an object"}},
		"half a value": {
			ofrep.Evaluation{Value: json.RawMessage(`{"a"`), Reason: "STATIC"},
			400, fields{"errorCode": "GENERAL", "errorDetails": "OFREP carries no lists and no null: make the flag's value an object"}},
		"a success has no details": {
			ofrep.Evaluation{Value: json.RawMessage(`"x"`), Reason: "STALE", Variant: "x", ErrorDetails: "kept from yesterday"},
			200, fields{"value": "x", "reason": "UNKNOWN", "variant": "x"}},
		"metadata has strings, numbers and booleans": {
			ofrep.Evaluation{Value: json.RawMessage(`1`), Reason: "STATIC", Metadata: fields{"s": "", "i": 1, "f": 1.5, "b": false, "list": []any{1}, "none": nil, "f()": func() {}}},
			200, fields{"value": 1.0, "reason": "STATIC", "metadata": fields{"s": "", "i": 1.0, "f": 1.5, "b": false}}},
	} {
		t.Run(name, func(t *testing.T) {
			test.want["key"] = "flag"
			h := answering(test.evaluated)
			expect(t, onePath+"flag", post(h, onePath+"flag", ``), test.status, test.want)
			expect(t, bulkPath, post(h, bulkPath, ``), http.StatusOK, fields{"flags": []any{test.want}})
		})
	}

	t.Run("no flags at all", func(t *testing.T) {
		h := server.New(server.Options{EvaluateAll: func(context.Context, map[string]any) ([]ofrep.Evaluation, error) { return nil, nil }})
		expect(t, bulkPath, post(h, bulkPath, ``), http.StatusOK, fields{"flags": []any{}})
	})
}

func TestTagsTheWholeAnswer(t *testing.T) {
	const german, french = `{"context": {"jurisdiction": "DE"}}`, `{"context": {"jurisdiction": "FR"}}`
	h := ofTable()
	tag := post(h, bulkPath, german).Header().Get("ETag")
	if tag == "" || tag[0] != '"' {
		t.Fatalf("no strong tag: %q", tag)
	}
	if again := post(h, bulkPath, german).Header().Get("ETag"); again != tag {
		t.Errorf("the same flags have the tags %s and %s", tag, again)
	}

	for name, test := range map[string]struct {
		body        string
		ifNoneMatch []string
		status      int
	}{
		"the tag":                               {german, []string{tag}, 304},
		"the tag as a weak one":                 {german, []string{"W/" + tag}, 304},
		"the tag in a list":                     {german, []string{`"a, b" ,W/"c",, ` + tag}, 304},
		"the tag in a second field":             {german, []string{`"a"`, tag}, 304},
		"anything":                              {german, []string{`*`}, 304},
		"an equal context with other users":     {`{"context": {"targetingKey": "u-18", "jurisdiction": "DE"}}`, []string{tag}, 200},
		"the tag from before the context moved": {french, []string{tag}, 200},
		"another tag":                           {german, []string{`"abc"`}, 200},
		"the tag without its quotes":            {german, []string{strings.Trim(tag, `"`)}, 200},
		"half of the tag":                       {german, []string{tag[:9]}, 200},
		"a comma":                               {german, []string{`,`}, 200},
		"a weak nothing":                        {german, []string{`W/`}, 200},
		"no tag":                                {german, nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			var header []string
			for _, field := range test.ifNoneMatch {
				header = append(header, "If-None-Match", field)
			}
			w := post(h, bulkPath, test.body, header...)
			if w.Code != test.status {
				t.Fatalf("status %d", w.Code)
			}
			if w.Header().Get("ETag") == "" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("header: %v", w.Header())
			}
			if test.status == http.StatusNotModified && (w.Body.Len() > 0 || w.Header().Get("ETag") != tag) {
				t.Errorf("304 with %v and the body %q", w.Header(), w.Body)
			}
		})
	}

	t.Run("a failed evaluation has none", func(t *testing.T) {
		if w := post(h, bulkPath, `[]`, "If-None-Match", "*"); w.Code != 400 || w.Header().Get("ETag") != "" {
			t.Errorf("status %d, header %v", w.Code, w.Header())
		}
	})
}

func TestTurnsAway(t *testing.T) {
	const (
		post    = "send a POST with the evaluation context as its body"
		json    = "send the body with Content-Type: application/json"
		origin  = "web pages of other origins may not ask: evaluate flags on the app's server"
		nowhere = "this is not a path of OFREP 0.3: POST to /ofrep/v1/evaluate/flags/{key} or /ofrep/v1/evaluate/flags"
	)
	for name, test := range map[string]struct {
		method, path string
		header       [2]string
		status       int
		details      string
	}{
		"GET of one flag":                                {"GET", onePath + "a", [2]string{}, 405, post},
		"GET of all flags":                               {"GET", bulkPath, [2]string{}, 405, post},
		"PUT":                                            {"PUT", onePath + "a", [2]string{}, 405, post},
		"a browser's question before a POST":             {"OPTIONS", bulkPath, [2]string{"Origin", "https://evil.example"}, 405, post},
		"a form":                                         {"POST", bulkPath, [2]string{"Content-Type", "application/x-www-form-urlencoded"}, 415, json},
		"JSON that is said to be text":                   {"POST", onePath + "a", [2]string{"Content-Type", "text/plain;application/json"}, 415, json},
		"a content type that can't be read":              {"POST", bulkPath, [2]string{"Content-Type", "application/json; charset"}, 415, json},
		"a page of another origin":                       {"POST", bulkPath, [2]string{"Origin", "https://evil.example"}, 403, origin},
		"a page that hides its origin":                   {"POST", bulkPath, [2]string{"Origin", "null"}, 403, origin},
		"a page of another site":                         {"POST", onePath + "a", [2]string{"Sec-Fetch-Site", "cross-site"}, 403, origin},
		"the configuration, which OFREP 0.2 has removed": {"GET", "/ofrep/v1/configuration", [2]string{}, 404, nowhere},
		"another version":                                {"POST", "/ofrep/v2/evaluate/flags", [2]string{}, 404, nowhere},
		"something else":                                 {"POST", "/", [2]string{}, 404, nowhere},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, "http://127.0.0.1:8600"+test.path, strings.NewReader(`{}`))
			r.Header.Set(test.header[0], test.header[1])
			w := httptest.NewRecorder()
			withoutEvaluations(t).ServeHTTP(w, r)
			expect(t, test.path, w, test.status, map[string]any{"errorDetails": test.details})
			if allow := w.Header().Get("Allow"); (allow == "POST") != (test.status == 405) {
				t.Errorf("Allow: %q", allow)
			}
		})
	}

	for name, header := range map[string][2]string{
		"a server's request without a content type": {},
		"node's fetch":                   {"Sec-Fetch-Mode", "cors"},
		"the console on the same origin": {"Origin", "http://127.0.0.1:8600"},
		"a page that says so":            {"Sec-Fetch-Site", "same-origin"},
		"JSON in capitals":               {"Content-Type", "Application/JSON;Charset=UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "http://127.0.0.1:8600"+onePath+"limits", strings.NewReader(`{}`))
			if header[0] != "" {
				r.Header.Set(header[0], header[1])
			}
			w := httptest.NewRecorder()
			ofTable().ServeHTTP(w, r)
			if w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestEvaluatesNothingForABodyThatEndsEarly(t *testing.T) {
	body := io.MultiReader(strings.NewReader(`{"context": {}}`), iotest.ErrReader(io.ErrUnexpectedEOF))
	w := httptest.NewRecorder()
	withoutEvaluations(t).ServeHTTP(w, httptest.NewRequest("POST", bulkPath, body))
	expect(t, bulkPath, w, 400, map[string]any{"errorCode": "PARSE_ERROR", "errorDetails": "the body did not arrive as a whole: send it again"})
}

func TestPassesTheRequestsContextOn(t *testing.T) {
	type key struct{}
	h := server.New(server.Options{Evaluate: func(ctx context.Context, _ string, _ map[string]any) ofrep.Evaluation {
		return ofrep.Evaluation{Value: ctx.Value(key{}).(json.RawMessage)}
	}})
	r := httptest.NewRequest("POST", onePath+"a", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, json.RawMessage(`"seen"`))))
	expect(t, onePath+"a", w, 200, map[string]any{"key": "a", "value": "seen", "reason": "UNKNOWN"})
}
