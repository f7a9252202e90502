package client_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/flags/ofrep/client"
)

// answerByCountry answers true for Germany and false for all others, with an
// ETag that it knows again.
func answerByCountry(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	value := strings.Contains(string(body), `"DE"`)
	etag := fmt.Sprintf(`"%v"`, value)
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	fmt.Fprintf(w, `{"flags": [{"key": "e2ee", "value": %v, "reason": "STATIC"}, {"key": "other", "value": 1}]}`, value)
}

func TestEvaluatesWhatIsKeptWithoutTheNetwork(t *testing.T) {
	expectNoLeak(t)
	source := newServer(t, answerByCountry)
	p := newClient(t, source.URL)
	keep(t, p, []string{"e2ee", "missing"}, france, germany, france)
	if got := p.BooleanEvaluation(t.Context(), "e2ee", true, france).Error(); got == nil || got.Error() != "PROVIDER_NOT_READY: the flag server has not answered for this context yet" {
		t.Errorf("before the first round: %v", got)
	}
	if p.Status().Answered {
		t.Error("before the first round, all is answered")
	}
	refresh(t, p)
	if asked := source.takeAsked(); len(asked) != 2 {
		t.Errorf("asked %d times for two contexts", len(asked))
	}
	source.Close()
	if !p.Status().Answered {
		t.Error("after a round, not all is answered")
	}

	expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "e2ee", true, france)), resolution{Value: false, Reason: "STATIC"})
	expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "e2ee", false, germany)), resolution{Value: true, Reason: "STATIC"})
	expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "missing", true, france)), resolution{Value: true, Reason: "ERROR", Error: "FLAG_NOT_FOUND: the flag server has no flag of this key"})
	// Another key, or another context, is a request of its own.
	for _, err := range []error{
		p.IntEvaluation(t.Context(), "other", 0, france).Error(),
		p.BooleanEvaluation(t.Context(), "e2ee", true, openfeature.FlattenedContext{"targetingKey": "FR", "jurisdiction": "DE"}).Error(),
		p.BooleanEvaluation(t.Context(), "e2ee", true, openfeature.FlattenedContext{"targetingKey": "FR"}).Error(),
	} {
		if errorCode(err) != "GENERAL" {
			t.Errorf("a server that is gone was not asked: %v", err)
		}
	}
}

func TestAsksForChangesOnly(t *testing.T) {
	source := newServer(t, answerByCountry)
	p := newClient(t, source.URL)
	keep(t, p, []string{"e2ee"}, france)
	conditions := func() (all []string) {
		for _, asked := range source.takeAsked() {
			all = append(all, asked.header.Get("If-None-Match"))
		}
		return all
	}
	refresh(t, p)
	refresh(t, p)
	if diff := cmp.Diff([]string{"", `"false"`}, conditions()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "e2ee", true, france)), resolution{Value: false, Reason: "STATIC"})

	// What was dropped from an answer can only be had by asking for all of it.
	keep(t, p, []string{"other", "e2ee"}, france)
	if got := p.IntEvaluation(t.Context(), "other", 0, france).Error(); errorCode(got) != "PROVIDER_NOT_READY" {
		t.Errorf("a key that was not asked for: %v", got)
	}
	expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "e2ee", true, france)), resolution{Value: false, Reason: "STATIC"})
	if p.Status().Answered {
		t.Error("a key has not been asked for, and all is answered")
	}
	refresh(t, p)
	expect(t, resolutionOf(p.IntEvaluation(t.Context(), "other", 0, france)), resolution{Value: int64(1), Reason: "UNKNOWN"})
	keep(t, p, []string{"e2ee", "other"}, germany, france)
	refresh(t, p)
	got := conditions()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"", "", `"false"`}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	// A server without ETags, or with one that is longer than it should be,
	// sends everything each time.
	for _, etag := range []string{"", `"` + strings.Repeat("e", 300) + `"`} {
		source.answers(answerStatus(200, `{"flags": []}`, "ETag", etag))
		refresh(t, p)
		conditions()
		refresh(t, p)
		if diff := cmp.Diff([]string{"", ""}, conditions()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestTellsContextsApartByValueAndType(t *testing.T) {
	source := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"flags": [{"key": "f", "value": %q, "reason": "STATIC"}]}`, body)
	})
	contexts := []openfeature.FlattenedContext{
		nil, {"a": "b"}, {"b": "a"}, {"a": "b", "b": "a"}, {"a": true}, {"a": "true"}, {"a": 1}, {"a": 1.5}, {"a": int64(2)},
		{"a": []string{"x"}}, {"a": []string{"y"}}, {"a": map[string]any{"x": []any{1.0}}}, {"a": time.Unix(0, 0).UTC()}, {"a": nil},
	}
	p := newClient(t, source.URL)
	keep(t, p, []string{"f"}, contexts...)
	refresh(t, p)
	source.Close()
	said := map[string]int{}
	for i, context := range contexts {
		detail := p.StringEvaluation(t.Context(), "f", "", context)
		if err := detail.Error(); err != nil {
			t.Errorf("%v: %v", context, err)
		}
		if before, twice := said[detail.Value]; twice {
			t.Errorf("%v and %v have the same answer %s", contexts[before], context, detail.Value)
		}
		said[detail.Value] = i
	}
	for _, other := range []openfeature.FlattenedContext{{"a": int64(1)}, {"a": 2}, {"a": "b", "c": nil}, {"a": []string{"z"}}} {
		if err := p.StringEvaluation(t.Context(), "f", "", other).Error(); errorCode(err) != "GENERAL" {
			t.Errorf("%v was found: %v", other, err)
		}
	}
}

func TestHoldsNoMoreOfKeptContextsThanItNeeds(t *testing.T) {
	source := newServer(t, answerJSON(`{"flags": [
		{"key": "object", "value": {"a": 1}, "reason": "STATIC"},
		{"key": "list", "value": [1], "reason": "STATIC"},
		{"key": "short", "value": "`+strings.Repeat("s", 1024)+`", "reason": "STATIC"},
		{"key": "long", "value": "`+strings.Repeat("s", 1025)+`", "reason": "STATIC"},
		{"key": "variant", "value": true, "reason": "STATIC", "variant": "`+strings.Repeat("v", 257)+`", "metadata": {"a": 1}}]}`))
	p := newClient(t, source.URL)
	keep(t, p, []string{"object", "list", "short", "long", "variant"}, france)
	refresh(t, p)
	for key, want := range map[string]string{
		"object": "TYPE_MISMATCH: the flag's value is an object: for whole jurisdictions only booleans, numbers and strings are kept",
		"list":   "TYPE_MISMATCH: the flag's value is a list: for whole jurisdictions only booleans, numbers and strings are kept",
		"short":  "",
		"long":   "PARSE_ERROR: the flag's value is a string of 1025 bytes: make it no longer than 1024",
	} {
		got := ""
		if err := p.ObjectEvaluation(t.Context(), key, nil, france).Error(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q", key, got)
		}
	}
	detail := p.BooleanEvaluation(t.Context(), "variant", false, france)
	if detail.Error() != nil || !detail.Value || detail.Variant != "" || detail.FlagMetadata != nil {
		t.Errorf("%+v", detail)
	}
}

// What is no answer, and what is said about it. The server's address is URL.
var faults = map[string]struct {
	answer http.HandlerFunc
	want   string
}{
	"401":                          {answerStatus(401, ``), "the flag server at URL answered 401: check flags.ofrep.token-file or flags.ofrep.api-key-file"},
	"403":                          {answerStatus(403, ``), "the flag server at URL answered 403: check flags.ofrep.token-file or flags.ofrep.api-key-file"},
	"404 from another server":      {answerStatus(404, `404 page not found`), "the flag server at URL answered 404 without an error code: check flags.ofrep.url, it is what comes before /ofrep"},
	"418":                          {answerStatus(418, ``), "the flag server at URL answered 418, which OFREP does not have: check flags.ofrep.url, it is what comes before /ofrep"},
	"204":                          {answerStatus(204, ``), "the flag server at URL answered 204, which OFREP does not have: check flags.ofrep.url, it is what comes before /ofrep"},
	"429":                          {answerStatus(429, ``), "the flag server at URL answered 429: ask it less often (flags.ofrep.poll), or look at its load"},
	"500":                          {answerStatus(500, `{"errorDetails": "secret"}`), "the flag server at URL answered 500: look into its log"},
	"503":                          {answerStatus(503, ``), "the flag server at URL answered 503: ask it less often (flags.ofrep.poll), or look at its load"},
	"a redirect":                   {answerStatus(307, ``, "Location", "http://127.0.0.1:1/"), "the flag server at URL answered 307, a redirect, and none is followed, as it would take the credentials along: write its target into flags.ofrep.url"},
	"a web page":                   {answerStatus(200, `<html>`, "Content-Type", "text/html"), "the flag server at URL answered with something else than JSON: check flags.ofrep.url, it is what comes before /ofrep"},
	"an end in mid-air":            {half, "the flag server at URL broke off, or does not speak HTTP: check flags.ofrep.url and look into its log"},
	"another protocol":             {garbage, "the flag server at URL broke off, or does not speak HTTP: check flags.ofrep.url and look into its log"},
	"a context it can't use":       {answerStatus(400, `{"errorCode": "INVALID_CONTEXT", "errorDetails": "secret"}`), "1 of 1 contexts have no usable answer: the flag server can't use the context: look into its log"},
	"400 without a code":           {answerStatus(400, `{"errorDetails": "secret"}`), "the flag server at URL answered 400 without an error code: check flags.ofrep.url, it is what comes before /ofrep"},
	"too large":                    {answerJSON(`{"flags": []` + strings.Repeat(" ", 1<<20) + `}`), "1 of 1 contexts have no usable answer: the flag server at URL sent more than 1048576 bytes: give this client fewer flags"},
	"nothing":                      {answerJSON(``), unusable("it is empty")},
	"half an answer":               {answerJSON(`{"flags": [{"key": "e2ee", "value": false`), unusable("it is not JSON, or only a part of it")},
	"two answers":                  {answerJSON(`{"flags": []} {"flags": []}`), unusable("it is not JSON, or only a part of it")},
	"NaN":                          {answerJSON(`{"flags": [{"key": "e2ee", "value": NaN}]}`), unusable("it is not JSON, or only a part of it")},
	"compressed":                   {answerStatus(200, "\x1f\x8b\x08\x00", "Content-Encoding", "gzip"), unusable("it is not UTF-8")},
	"bytes that are no UTF-8":      {answerJSON("{\"flags\": [], \"a\": \"\xff\"}"), unusable("it is not UTF-8")},
	"a number beyond all floats":   {answerJSON(`{"flags": [{"key": "other", "value": 1e999}]}`), unusable("it has a number that a float64 can't hold")},
	"very many values":             {answerJSON(`{"flags": [` + strings.Repeat("[],", 100_000) + `[]]}`), unusable("it is too large: more than 100000 values")},
	"nested deeply":                {answerJSON(`{"flags": [], "a": ` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`), unusable("it is too large: nested deeper than 32 levels")},
	"the same name twice":          {answerJSON(`{"flags": [{"key": "e2ee", "value": true, "value": false}]}`), unusable("it has the same name twice in an object")},
	"the same name, escaped":       {answerJSON(`{"flags": [{"key": "e2ee", "value": true, "v\u0061lue": false}]}`), unusable("it has the same name twice in an object")},
	"the same key twice":           {answerJSON(`{"flags": [{"key": "e2ee", "value": true}, {"key": "e2ee", "value": false}]}`), unusable("flag 2 has the key of one before it")},
	"a list":                       {answerJSON(`[]`), unusable("it is not an object")},
	"null":                         {answerJSON(`null`), unusable("it is not an object")},
	"no flags":                     {answerJSON(`{}`), unusable(`it has no list "flags"`)},
	"flags of null":                {answerJSON(`{"flags": null}`), unusable(`it has no list "flags"`)},
	"flags that are no list":       {answerJSON(`{"flags": {"e2ee": true}}`), unusable(`it has no list "flags"`)},
	"flags in another case":        {answerJSON(`{"Flags": []}`), unusable(`it has no list "flags"`)},
	"a flag that is no object":     {answerJSON(`{"flags": [true]}`), unusable("flag 1: it is not an object")},
	"a flag without a key":         {answerJSON(`{"flags": [{"key": "a"}, {"value": true}]}`), unusable("flag 2 has no key")},
	"a key that is no string":      {answerJSON(`{"flags": [{"key": 1}]}`), unusable(`flag 1: its "key" is not a string`)},
	"a reason that is no string":   {answerJSON(`{"flags": [{"key": "a", "reason": 1}]}`), unusable(`flag 1: its "reason" is not a string`)},
	"a variant that is no string":  {answerJSON(`{"flags": [{"key": "a", "variant": {}}]}`), unusable(`flag 1: its "variant" is not a string`)},
	"a code that is no string":     {answerJSON(`{"flags": [{"key": "a", "errorCode": false}]}`), unusable(`flag 1: its "errorCode" is not a string`)},
	"details that are no string":   {answerJSON(`{"flags": [{"key": "a", "errorCode": "GENERAL", "errorDetails": 1}]}`), unusable(`flag 1: its "errorDetails" is not a string`)},
	"metadata that is no object":   {answerJSON(`{"flags": [{"key": "a", "metadata": []}]}`), unusable(`flag 1: its "metadata" is not an object`)},
	"headers larger than they are": {answerStatus(200, `{"flags": []}`, "X", strings.Repeat("x", 100<<10)), "the flag server at URL broke off, or does not speak HTTP: check flags.ofrep.url and look into its log"},
}

func unusable(why string) string {
	return "1 of 1 contexts have no usable answer: the flag server at URL sent an answer that can't be used: " + why + ": look into its log and for a newer version of it"
}

func half(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"flags": [`)
	panic(http.ErrAbortHandler)
}

func garbage(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(conn, "220 mail.example.org secret\r\n")
	_ = conn.Close()
}

func TestKeepsTheLastGoodAnswer(t *testing.T) {
	good := resolution{Value: true, Reason: "STATIC"}
	for name, test := range faults {
		t.Run(name, func(t *testing.T) {
			expectNoLeak(t)
			source := newServer(t, answerJSON(`{"flags": [{"key": "e2ee", "value": true, "reason": "STATIC"}]}`))
			log, logged := newLogger()
			p := newClient(t, source.URL, func(o *client.Options) { o.Logger = log })
			keep(t, p, []string{"e2ee"}, france)
			refresh(t, p)
			success := p.Status().LastSuccess

			source.answers(test.answer)
			err := p.Refresh(t.Context())
			if err == nil {
				t.Fatal("the round succeeded")
			}
			if got := strings.ReplaceAll(err.Error(), source.URL, "URL"); got != test.want {
				t.Errorf("the error is\n%s\nand not\n%s", got, test.want)
			}
			expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "e2ee", false, france)), good)
			status := p.Status()
			if !errors.Is(status.Err, err) || !status.Answered || !status.LastSuccess.Equal(success) || status.Since.IsZero() {
				t.Errorf("the status is %+v", status)
			}
			if strings.Contains(logged.String(), "secret") {
				t.Errorf("logged %s", logged.String())
			}
			// A single evaluation gets no value from it either.
			if detail := p.BooleanEvaluation(t.Context(), "e2ee", true, user); detail.Error() == nil && detail.Reason != openfeature.DefaultReason || !detail.Value || strings.Contains(fmt.Sprint(detail.Error()), "secret") {
				t.Errorf("a single evaluation told %+v", detail)
			}

			source.answers(answerJSON(`{"flags": []}`))
			refresh(t, p)
			if status := p.Status(); status.Err != nil || !status.Since.IsZero() {
				t.Errorf("the status is %+v", status)
			}
			if got := p.BooleanEvaluation(t.Context(), "e2ee", true, france).Error(); errorCode(got) != "FLAG_NOT_FOUND" {
				t.Errorf("an empty answer is a good one: %v", got)
			}
		})
	}
}

func TestStopsReadingWhatIsTooLarge(t *testing.T) {
	expectNoLeak(t)
	sent := make(chan int, 1)
	source := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		part, total := []byte(strings.Repeat(" ", 64<<10)), 0
		for total < 100<<20 {
			n, err := w.Write(part)
			if total += n; err != nil {
				break
			}
		}
		sent <- total
	})
	p := newClient(t, source.URL)
	keep(t, p, []string{"e2ee"}, france)
	if err := p.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "sent more than 1048576 bytes") {
		t.Error(err)
	}
	// What is beyond the first MiB was under way in the system's buffers.
	if sent := <-sent; sent > 50<<20 {
		t.Errorf("%d bytes were sent", sent)
	}
}

func TestSaysThatAServerIsDown(t *testing.T) {
	expectNoLeak(t)
	source := httptest.NewServer(http.NotFoundHandler())
	address := source.Listener.Addr().String()
	source.Close()
	p := newClient(t, source.URL)
	keep(t, p, []string{"e2ee"}, france)
	want := "the flag server at http://" + address + " can't be reached: dial tcp " + address + ": connect: " + syscall.ECONNREFUSED.Error() + ": check flags.ofrep.url and whether it runs"
	if err := p.Refresh(t.Context()); err == nil || err.Error() != want {
		t.Error(err)
	}
	if got := p.BooleanEvaluation(t.Context(), "e2ee", false, france).Error(); errorCode(got) != "PROVIDER_NOT_READY" {
		t.Error(got)
	}
	if got := p.BooleanEvaluation(t.Context(), "e2ee", false, user).Error(); got == nil || got.Error() != "GENERAL: "+want {
		t.Error(got)
	}
}

func TestWaitsForAServerThatHangsNoLongerThanItsTimeout(t *testing.T) {
	for name, begin := range map[string]func(w http.ResponseWriter){
		"before it answers": func(http.ResponseWriter) {},
		"in the middle": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"flags": [`)
			_ = http.NewResponseController(w).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			source := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				begin(w)
				<-release
			})
			defer close(release)
			// Long enough for a request to get there on a busy machine.
			p := newClient(t, source.URL, func(o *client.Options) { o.Timeout = time.Second })
			contexts := make([]openfeature.FlattenedContext, 1000)
			for i := range contexts {
				contexts[i] = openfeature.FlattenedContext{"targetingKey": fmt.Sprint(i)}
			}
			keep(t, p, []string{"e2ee"}, contexts...)
			want := "the flag server at " + source.URL + " did not answer within 1s: look at its load, and check flags.ofrep.url"
			if err := p.Refresh(t.Context()); err == nil || err.Error() != want {
				t.Error(err)
			}
			if asked := source.takeAsked(); len(asked) != 1 {
				t.Errorf("asked %d times", len(asked))
			}
			if got := p.BooleanEvaluation(t.Context(), "e2ee", false, user).Error(); got == nil || got.Error() != "GENERAL: "+want {
				t.Error(got)
			}
		})
	}
}

func TestTrustsTheAuthoritiesThatItIsGiven(t *testing.T) {
	expectNoLeak(t)
	source := &flagServer{answer: answerByCountry}
	source.Server = httptest.NewUnstartedServer(source)
	source.Config.ErrorLog = log.New(io.Discard, "", 0) // it says that it isn't trusted
	source.StartTLS()
	defer source.Close()
	pool := x509.NewCertPool()
	pool.AddCert(source.Certificate())

	trusting := newClient(t, source.URL, func(o *client.Options) { o.RootCAs = pool })
	keep(t, trusting, []string{"e2ee"}, france)
	refresh(t, trusting)
	expect(t, resolutionOf(trusting.BooleanEvaluation(t.Context(), "e2ee", true, france)), resolution{Value: false, Reason: "STATIC"})

	distrusting := newClient(t, source.URL)
	keep(t, distrusting, []string{"e2ee"}, france)
	want := "the flag server at " + source.URL + " has a certificate that is not trusted: " + x509.UnknownAuthorityError{}.Error() + ": check flags.ofrep.ca"
	if err := distrusting.Refresh(t.Context()); err == nil || err.Error() != want {
		t.Error(err)
	}

	plain := newServer(t, answerByCountry)
	over := strings.Replace(plain.URL, "http:", "https:", 1)
	wrong := newClient(t, over)
	keep(t, wrong, []string{"e2ee"}, france)
	want = "the flag server at " + over + " does not speak TLS: write http:// in flags.ofrep.url, or turn TLS on there"
	if err := wrong.Refresh(t.Context()); err == nil || err.Error() != want {
		t.Error(err)
	}
}

func TestTakesItsCredentialsNowhereElse(t *testing.T) {
	elsewhere := newServer(t, answerJSON(`{"flags": [{"key": "e2ee", "value": false, "reason": "STATIC"}]}`))
	for _, status := range []int{301, 302, 303, 307, 308} {
		source := newServer(t, answerStatus(status, ``, "Location", elsewhere.URL))
		p := newClient(t, source.URL, func(o *client.Options) {
			o.Headers = func() (http.Header, error) { return http.Header{"Authorization": {"Bearer secret"}}, nil }
		})
		keep(t, p, []string{"e2ee"}, france)
		if err := p.Refresh(t.Context()); err == nil {
			t.Errorf("%d was followed", status)
		}
		p.BooleanEvaluation(t.Context(), "e2ee", true, user)
	}
	if asked := elsewhere.takeAsked(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
}

func TestAsksNothingWithoutItsCredentials(t *testing.T) {
	source := newServer(t, answerByCountry)
	headers, failure := http.Header(nil), error(nil)
	p := newClient(t, source.URL, func(o *client.Options) {
		o.Headers = func() (http.Header, error) { return headers, failure }
	})
	keep(t, p, []string{"e2ee"}, france)

	failure = errors.New("no token")
	want := "the flag server at " + source.URL + " was not asked, as there are no credentials: no token"
	if err := p.Refresh(t.Context()); err == nil || err.Error() != want {
		t.Error(err)
	}
	headers, failure = http.Header{"Authorization": {"Bearer secret\n"}}, nil
	want = "the flag server at " + source.URL + " was not asked, as its credentials have a line break or the like in them: check flags.ofrep.token-file and flags.ofrep.api-key-file"
	if err := p.Refresh(t.Context()); err == nil || err.Error() != want {
		t.Error(err)
	}
	if asked := source.takeAsked(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
	headers = http.Header{"Authorization": {"Bearer secret"}}
	refresh(t, p)
}

func TestRepeatsNeitherContextsNorSecrets(t *testing.T) {
	// This server writes all that it is asked with wherever it can.
	for _, status := range []int{200, 307, 400, 401, 404, 418, 429, 500} {
		echo := func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			text := fmt.Sprintf("%q", fmt.Sprintf("%s %v", body, r.Header))
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Retry-After", strings.Trim(text, `"`))
			w.Header().Set("Location", "http://127.0.0.1:1/"+r.Header.Get("Authorization"))
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"key": %[1]s, "errorCode": %[1]s, "errorDetails": %[1]s, "flags": [{"key": "e2ee", "errorCode": %[1]s, "errorDetails": %[1]s}, {"key": %[1]s}, {"key": %[1]s}]}`, text)
		}
		source := newServer(t, echo)
		log, logged := newLogger()
		p := newClient(t, source.URL, func(o *client.Options) {
			o.Logger = log
			o.Headers = func() (http.Header, error) { return http.Header{"Authorization": {"Bearer secret"}}, nil }
		})
		context := openfeature.FlattenedContext{"targetingKey": "user-123", "email": "user@example.com"}
		keep(t, p, []string{"e2ee"}, context)
		err := p.Refresh(t.Context())
		_, _, prefetch := p.Prefetch(t.Context(), openfeature.FlattenedContext{"targetingKey": "user-123"})
		said := fmt.Sprintf("%v\n%v\n%v\n%v\n%v\n%s", err, prefetch, p.Status(),
			p.BooleanEvaluation(t.Context(), "e2ee", false, context).Error(),
			p.BooleanEvaluation(t.Context(), "e2ee", false, openfeature.FlattenedContext{"targetingKey": "user-123"}).Error(),
			logged.String())
		for range 2 {
			select {
			case event := <-p.EventChannel():
				said += event.Message
			default:
			}
		}
		for _, private := range []string{"secret", "user-123", "user@"} {
			if strings.Contains(said, private) {
				t.Errorf("%d: %s is in\n%s", status, private, said)
			}
		}
	}
}

func manyContexts(n int) []openfeature.FlattenedContext {
	contexts := make([]openfeature.FlattenedContext, n)
	for i := range contexts {
		contexts[i] = openfeature.FlattenedContext{"targetingKey": fmt.Sprintf("J%d/%d", i/4, i%4), "jurisdiction": fmt.Sprint("J", i/4)}
	}
	return contexts
}

func TestAsksAServerThatFailsOnlyOnce(t *testing.T) {
	for _, status := range []int{401, 404, 429, 500, 503} {
		source := newServer(t, answerStatus(status, ``))
		p := newClient(t, source.URL)
		keep(t, p, []string{"e2ee"}, manyContexts(1000)...)
		if p.Refresh(t.Context()) == nil {
			t.Errorf("%d: the round succeeded", status)
		}
		if asked := source.takeAsked(); len(asked) != 1 {
			t.Errorf("%d: asked %d times", status, len(asked))
		}
	}
}

func TestGivesUpARoundOfUnusableAnswers(t *testing.T) {
	source := newServer(t, answerJSON(`{`))
	p := newClient(t, source.URL)
	keep(t, p, []string{"e2ee"}, manyContexts(1000)...)
	first := func() string {
		if p.Refresh(t.Context()) == nil {
			t.Error("the round succeeded")
		}
		asked := source.takeAsked()
		if len(asked) < 16 || len(asked) > 16+8 {
			t.Errorf("asked %d times", len(asked))
		}
		return asked[0].body
	}
	// The next round begins with others.
	if one, next := first(), first(); one == next {
		t.Error("each round begins with the same context")
	}
}

func TestAsksForAllOthersWhenOneContextBreaksTheServer(t *testing.T) {
	source := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"J2/1"`) {
			answerStatus(500, ``)(w, r)
			return
		}
		answerStatus(200, `{"flags": [{"key": "e2ee", "value": true, "reason": "STATIC"}]}`)(w, r)
	})
	p := newClient(t, source.URL)
	contexts := manyContexts(40)
	keep(t, p, []string{"e2ee"}, contexts...)
	for range 2 {
		if p.Refresh(t.Context()) == nil {
			t.Error("the round succeeded")
		}
	}
	for i, context := range contexts {
		err := p.BooleanEvaluation(t.Context(), "e2ee", false, context).Error()
		if i != 9 && err != nil || i == 9 && errorCode(err) != "PROVIDER_NOT_READY" {
			t.Errorf("context %d: %v", i, err)
		}
	}
}

func TestReplacesOneContextWithoutTheOthers(t *testing.T) {
	source := newServer(t, answerByCountry)
	p := newClient(t, source.URL)
	keep(t, p, []string{"e2ee"}, france, germany)
	refresh(t, p)
	source.answers(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"FR"`) {
			answerStatus(400, `{"errorCode": "INVALID_CONTEXT"}`)(w, r)
			return
		}
		answerJSON(`{"flags": [{"key": "e2ee", "value": false, "reason": "SPLIT"}]}`)(w, r)
	})
	if err := p.Refresh(t.Context()); err == nil || err.Error() != "1 of 2 contexts have no usable answer: the flag server can't use the context: look into its log" {
		t.Error(err)
	}
	expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "e2ee", true, france)), resolution{Value: false, Reason: "STATIC"})
	expect(t, resolutionOf(p.BooleanEvaluation(t.Context(), "e2ee", true, germany)), resolution{Value: false, Reason: "SPLIT"})
}

func TestLeavesAServerAloneForAsLongAsItWants(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		header []string
		wait   time.Duration // 0: it may be asked at once
	}{
		"seconds":                   {429, []string{"Retry-After", "90"}, 90 * time.Second},
		"an HTTP date":              {429, []string{"Retry-After", "Wed, 07 Feb 2024 12:01:00 GMT"}, time.Minute},
		"OFREP's example":           {429, []string{"Retry-After", "2024-02-07T12:00:30Z"}, 30 * time.Second},
		"with another offset":       {429, []string{"Retry-After", "2024-02-07T13:00:30+01:00"}, 30 * time.Second},
		"as OFREP once spelt it":    {429, []string{"Retry-Later", "2024-02-07T12:00:30Z"}, 30 * time.Second},
		"spelt both ways":           {429, []string{"Retry-Later", "10", "Retry-After", "20"}, 20 * time.Second},
		"not available":             {503, []string{"Retry-After", "90"}, 90 * time.Second},
		"a year is cut short":       {429, []string{"Retry-After", "31536000"}, 5 * time.Minute},
		"so is a date far away":     {429, []string{"Retry-After", "2030-01-01T00:00:00Z"}, 5 * time.Minute},
		"and more than an int64":    {429, []string{"Retry-After", "9223372036854775807"}, 5 * time.Minute},
		"nothing":                   {429, nil, 0},
		"zero":                      {429, []string{"Retry-After", "0"}, 0},
		"a negative number":         {429, []string{"Retry-After", "-1"}, 0},
		"the past":                  {429, []string{"Retry-After", "2020-01-01T00:00:00Z"}, 0},
		"what is neither":           {429, []string{"Retry-After", "soon"}, 0},
		"500 does not wait for it":  {500, []string{"Retry-After", "90"}, 0},
		"401 does not wait, either": {401, []string{"Retry-After", "90"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock("2024-02-07T12:00:00Z")
			source := newServer(t, answerStatus(test.status, ``, test.header...))
			p := newClient(t, source.URL, func(o *client.Options) { o.Now = clock.Now })
			keep(t, p, []string{"e2ee"}, france)
			asksNothing := func() bool {
				source.takeAsked()
				_ = p.Refresh(t.Context())
				p.BooleanEvaluation(t.Context(), "e2ee", false, user)
				_, _, _ = p.Prefetch(t.Context(), user)
				return len(source.takeAsked()) == 0
			}
			if asksNothing() {
				t.Fatal("the server was never asked")
			}
			source.answers(answerByCountry)
			if test.wait == 0 {
				refresh(t, p)
				return
			}
			clock.move(test.wait - time.Second)
			if !asksNothing() {
				t.Error("it was asked a second too early")
			}
			want := fmt.Sprintf("the flag server at %s wants no request before %s: ask it less often (flags.ofrep.poll), or raise its limit", source.URL, clock.Now().Add(time.Second).UTC().Format(time.RFC3339))
			if err := p.Refresh(t.Context()); err == nil || err.Error() != want {
				t.Error(err)
			}
			clock.move(time.Second)
			refresh(t, p)
		})
	}
}

// Issue 10, B7: a clock that is set back doesn't prolong it.
func TestDoesNotLeaveAServerAloneForAsLongAsTheClockIsSetBack(t *testing.T) {
	clock := newClock("2024-02-07T12:00:00Z")
	source := newServer(t, answerStatus(429, ``, "Retry-After", "90"))
	p := newClient(t, source.URL, func(o *client.Options) { o.Now = clock.Now })
	keep(t, p, []string{"e2ee"}, france)
	if p.Refresh(t.Context()) == nil {
		t.Fatal("the server wants to be left alone")
	}
	source.answers(answerByCountry)
	clock.move(-time.Hour)
	refresh(t, p)
}

func TestAsksAFewContextsAtOnce(t *testing.T) {
	var now, most atomic.Int32
	var together sync.WaitGroup
	together.Add(8) // the round goes on when eight are under way
	source := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		at := now.Add(1)
		defer now.Add(-1)
		for before := most.Load(); at > before && !most.CompareAndSwap(before, at); before = most.Load() {
		}
		for i := 1; i <= 8; i++ { // the first is asked alone
			if strings.Contains(string(body), fmt.Sprintf(`"J%d/%d"`, i/4, i%4)) {
				together.Done()
				together.Wait()
			}
		}
		answerJSON(`{"flags": []}`)(w, r)
	})
	p := newClient(t, source.URL)
	keep(t, p, []string{"e2ee"}, manyContexts(100)...)
	refresh(t, p)
	if most.Load() != 8 {
		t.Errorf("%d were asked at once", most.Load())
	}
	if asked := source.takeAsked(); len(asked) != 100 {
		t.Errorf("asked %d times", len(asked))
	}
}
