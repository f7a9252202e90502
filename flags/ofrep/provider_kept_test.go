package ofrep_test

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

	"github.com/exitgate/exitgate/flags/ofrep"
)

// providerByCountry answers true for Germany and false for all others, with an
// ETag that it knows again.
func providerByCountry(w http.ResponseWriter, r *http.Request) {
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

func TestProviderEvaluatesWhatIsKeptWithoutTheNetwork(t *testing.T) {
	providerNoLeak(t)
	source := providerSourceOf(t, providerByCountry)
	p := providerOf(t, source.URL)
	providerKeep(t, p, []string{"e2ee", "missing"}, providerFrance, providerGermany, providerFrance)
	if got := p.BooleanEvaluation(t.Context(), "e2ee", true, providerFrance).Error(); got == nil || got.Error() != "PROVIDER_NOT_READY: the flag server has not answered for this context yet" {
		t.Errorf("before the first round: %v", got)
	}
	if p.Status().Answered {
		t.Error("before the first round, all is answered")
	}
	providerRefresh(t, p)
	if asked := source.takeAsked(); len(asked) != 2 {
		t.Errorf("asked %d times for two contexts", len(asked))
	}
	source.Close()
	if !p.Status().Answered {
		t.Error("after a round, not all is answered")
	}

	providerExpect(t, providerTell(p.BooleanEvaluation(t.Context(), "e2ee", true, providerFrance)), providerTold{Value: false, Reason: "STATIC"})
	providerExpect(t, providerTell(p.BooleanEvaluation(t.Context(), "e2ee", false, providerGermany)), providerTold{Value: true, Reason: "STATIC"})
	providerExpect(t, providerTell(p.BooleanEvaluation(t.Context(), "missing", true, providerFrance)), providerTold{Value: true, Reason: "ERROR", Error: "FLAG_NOT_FOUND: the flag server has no flag of this key"})
	// Another key, or another context, is a request of its own.
	for _, err := range []error{
		p.IntEvaluation(t.Context(), "other", 0, providerFrance).Error(),
		p.BooleanEvaluation(t.Context(), "e2ee", true, openfeature.FlattenedContext{"targetingKey": "FR", "jurisdiction": "DE"}).Error(),
		p.BooleanEvaluation(t.Context(), "e2ee", true, openfeature.FlattenedContext{"targetingKey": "FR"}).Error(),
	} {
		if providerCode(err) != "GENERAL" {
			t.Errorf("a server that is gone was not asked: %v", err)
		}
	}
}

func TestProviderAsksForChangesOnly(t *testing.T) {
	source := providerSourceOf(t, providerByCountry)
	p := providerOf(t, source.URL)
	providerKeep(t, p, []string{"e2ee"}, providerFrance)
	conditions := func() (all []string) {
		for _, asked := range source.takeAsked() {
			all = append(all, asked.header.Get("If-None-Match"))
		}
		return all
	}
	providerRefresh(t, p)
	providerRefresh(t, p)
	if diff := cmp.Diff([]string{"", `"false"`}, conditions()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	providerExpect(t, providerTell(p.BooleanEvaluation(t.Context(), "e2ee", true, providerFrance)), providerTold{Value: false, Reason: "STATIC"})

	// What was dropped from an answer can only be had by asking for all of it.
	providerKeep(t, p, []string{"other", "e2ee"}, providerFrance)
	if got := p.IntEvaluation(t.Context(), "other", 0, providerFrance).Error(); providerCode(got) != "PROVIDER_NOT_READY" {
		t.Errorf("a key that was not asked for: %v", got)
	}
	providerExpect(t, providerTell(p.BooleanEvaluation(t.Context(), "e2ee", true, providerFrance)), providerTold{Value: false, Reason: "STATIC"})
	if p.Status().Answered {
		t.Error("a key has not been asked for, and all is answered")
	}
	providerRefresh(t, p)
	providerExpect(t, providerTell(p.IntEvaluation(t.Context(), "other", 0, providerFrance)), providerTold{Value: int64(1), Reason: "UNKNOWN"})
	providerKeep(t, p, []string{"e2ee", "other"}, providerGermany, providerFrance)
	providerRefresh(t, p)
	got := conditions()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"", "", `"false"`}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	// A server without ETags, or with one that is longer than it should be,
	// sends everything each time.
	for _, etag := range []string{"", `"` + strings.Repeat("e", 300) + `"`} {
		source.answers(providerStatus(200, `{"flags": []}`, "ETag", etag))
		providerRefresh(t, p)
		conditions()
		providerRefresh(t, p)
		if diff := cmp.Diff([]string{"", ""}, conditions()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestProviderTellsContextsApartByValueAndType(t *testing.T) {
	source := providerSourceOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"flags": [{"key": "f", "value": %q, "reason": "STATIC"}]}`, body)
	})
	contexts := []openfeature.FlattenedContext{
		nil, {"a": "b"}, {"b": "a"}, {"a": "b", "b": "a"}, {"a": true}, {"a": "true"}, {"a": 1}, {"a": 1.5}, {"a": int64(2)},
		{"a": []string{"x"}}, {"a": []string{"y"}}, {"a": map[string]any{"x": []any{1.0}}}, {"a": time.Unix(0, 0).UTC()}, {"a": nil},
	}
	p := providerOf(t, source.URL)
	providerKeep(t, p, []string{"f"}, contexts...)
	providerRefresh(t, p)
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
		if err := p.StringEvaluation(t.Context(), "f", "", other).Error(); providerCode(err) != "GENERAL" {
			t.Errorf("%v was found: %v", other, err)
		}
	}
}

func TestProviderHoldsNoMoreOfKeptContextsThanItNeeds(t *testing.T) {
	source := providerSourceOf(t, providerJSON(`{"flags": [
		{"key": "object", "value": {"a": 1}, "reason": "STATIC"},
		{"key": "list", "value": [1], "reason": "STATIC"},
		{"key": "short", "value": "`+strings.Repeat("s", 1024)+`", "reason": "STATIC"},
		{"key": "long", "value": "`+strings.Repeat("s", 1025)+`", "reason": "STATIC"},
		{"key": "variant", "value": true, "reason": "STATIC", "variant": "`+strings.Repeat("v", 257)+`", "metadata": {"a": 1}}]}`))
	p := providerOf(t, source.URL)
	providerKeep(t, p, []string{"object", "list", "short", "long", "variant"}, providerFrance)
	providerRefresh(t, p)
	for key, want := range map[string]string{
		"object": "TYPE_MISMATCH: the flag's value is an object: for whole jurisdictions only booleans, numbers and strings are kept",
		"list":   "TYPE_MISMATCH: the flag's value is a list: for whole jurisdictions only booleans, numbers and strings are kept",
		"short":  "",
		"long":   "PARSE_ERROR: the flag's value is a string of 1025 bytes: make it no longer than 1024",
	} {
		got := ""
		if err := p.ObjectEvaluation(t.Context(), key, nil, providerFrance).Error(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q", key, got)
		}
	}
	detail := p.BooleanEvaluation(t.Context(), "variant", false, providerFrance)
	if detail.Error() != nil || !detail.Value || detail.Variant != "" || detail.FlagMetadata != nil {
		t.Errorf("%+v", detail)
	}
}

// What is no answer, and what is said about it. The server's address is URL.
var providerFaults = map[string]struct {
	answer http.HandlerFunc
	want   string
}{
	"401":                          {providerStatus(401, ``), "the flag server at URL answered 401: check flags.ofrep.token-file or flags.ofrep.api-key-file"},
	"403":                          {providerStatus(403, ``), "the flag server at URL answered 403: check flags.ofrep.token-file or flags.ofrep.api-key-file"},
	"404 from another server":      {providerStatus(404, `404 page not found`), "the flag server at URL answered 404 without an error code: check flags.ofrep.url, it is what comes before /ofrep"},
	"418":                          {providerStatus(418, ``), "the flag server at URL answered 418, which OFREP does not have: check flags.ofrep.url, it is what comes before /ofrep"},
	"204":                          {providerStatus(204, ``), "the flag server at URL answered 204, which OFREP does not have: check flags.ofrep.url, it is what comes before /ofrep"},
	"429":                          {providerStatus(429, ``), "the flag server at URL answered 429: ask it less often (flags.ofrep.poll), or look at its load"},
	"500":                          {providerStatus(500, `{"errorDetails": "secret"}`), "the flag server at URL answered 500: look into its log"},
	"503":                          {providerStatus(503, ``), "the flag server at URL answered 503: ask it less often (flags.ofrep.poll), or look at its load"},
	"a redirect":                   {providerStatus(307, ``, "Location", "http://127.0.0.1:1/"), "the flag server at URL answered 307, a redirect, and none is followed, as it would take the credentials along: write its target into flags.ofrep.url"},
	"a web page":                   {providerStatus(200, `<html>`, "Content-Type", "text/html"), "the flag server at URL answered with something else than JSON: check flags.ofrep.url, it is what comes before /ofrep"},
	"an end in mid-air":            {providerHalf, "the flag server at URL broke off, or does not speak HTTP: check flags.ofrep.url and look into its log"},
	"another protocol":             {providerBabble, "the flag server at URL broke off, or does not speak HTTP: check flags.ofrep.url and look into its log"},
	"a context it can't use":       {providerStatus(400, `{"errorCode": "INVALID_CONTEXT", "errorDetails": "secret"}`), "1 of 1 contexts have no usable answer: the flag server can't use the context: look into its log"},
	"400 without a code":           {providerStatus(400, `{"errorDetails": "secret"}`), "the flag server at URL answered 400 without an error code: check flags.ofrep.url, it is what comes before /ofrep"},
	"too large":                    {providerJSON(`{"flags": []` + strings.Repeat(" ", 1<<20) + `}`), "1 of 1 contexts have no usable answer: the flag server at URL sent more than 1048576 bytes: give this client fewer flags"},
	"nothing":                      {providerJSON(``), providerUnusable("it is empty")},
	"half an answer":               {providerJSON(`{"flags": [{"key": "e2ee", "value": false`), providerUnusable("it is not JSON, or only a part of it")},
	"two answers":                  {providerJSON(`{"flags": []} {"flags": []}`), providerUnusable("it is not JSON, or only a part of it")},
	"NaN":                          {providerJSON(`{"flags": [{"key": "e2ee", "value": NaN}]}`), providerUnusable("it is not JSON, or only a part of it")},
	"compressed":                   {providerStatus(200, "\x1f\x8b\x08\x00", "Content-Encoding", "gzip"), providerUnusable("it is not UTF-8")},
	"bytes that are no UTF-8":      {providerJSON("{\"flags\": [], \"a\": \"\xff\"}"), providerUnusable("it is not UTF-8")},
	"a number beyond all floats":   {providerJSON(`{"flags": [{"key": "other", "value": 1e999}]}`), providerUnusable("it has a number that a float64 can't hold")},
	"very many values":             {providerJSON(`{"flags": [` + strings.Repeat("[],", 100_000) + `[]]}`), providerUnusable("it has more than 100000 values")},
	"nested deeply":                {providerJSON(`{"flags": [], "a": ` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`), providerUnusable("it is nested deeper than 32 levels")},
	"nested beyond encoding/json":  {providerJSON(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)), providerUnusable("it is not JSON, or only a part of it")},
	"the same name twice":          {providerJSON(`{"flags": [{"key": "e2ee", "value": true, "value": false}]}`), providerUnusable("it has the same name twice in an object")},
	"the same name, escaped":       {providerJSON(`{"flags": [{"key": "e2ee", "value": true, "v\u0061lue": false}]}`), providerUnusable("it has the same name twice in an object")},
	"the same key twice":           {providerJSON(`{"flags": [{"key": "e2ee", "value": true}, {"key": "e2ee", "value": false}]}`), providerUnusable("flag 2 has the key of one before it")},
	"a list":                       {providerJSON(`[]`), providerUnusable("it is not an object")},
	"null":                         {providerJSON(`null`), providerUnusable("it is not an object")},
	"no flags":                     {providerJSON(`{}`), providerUnusable(`it has no list "flags"`)},
	"flags of null":                {providerJSON(`{"flags": null}`), providerUnusable(`it has no list "flags"`)},
	"flags that are no list":       {providerJSON(`{"flags": {"e2ee": true}}`), providerUnusable(`it has no list "flags"`)},
	"flags in another case":        {providerJSON(`{"Flags": []}`), providerUnusable(`it has no list "flags"`)},
	"a flag that is no object":     {providerJSON(`{"flags": [true]}`), providerUnusable("flag 1: it is not an object")},
	"a flag without a key":         {providerJSON(`{"flags": [{"key": "a"}, {"value": true}]}`), providerUnusable("flag 2 has no key")},
	"a key that is no string":      {providerJSON(`{"flags": [{"key": 1}]}`), providerUnusable(`flag 1: its "key" is not a string`)},
	"a reason that is no string":   {providerJSON(`{"flags": [{"key": "a", "reason": 1}]}`), providerUnusable(`flag 1: its "reason" is not a string`)},
	"a variant that is no string":  {providerJSON(`{"flags": [{"key": "a", "variant": {}}]}`), providerUnusable(`flag 1: its "variant" is not a string`)},
	"a code that is no string":     {providerJSON(`{"flags": [{"key": "a", "errorCode": false}]}`), providerUnusable(`flag 1: its "errorCode" is not a string`)},
	"details that are no string":   {providerJSON(`{"flags": [{"key": "a", "errorCode": "GENERAL", "errorDetails": 1}]}`), providerUnusable(`flag 1: its "errorDetails" is not a string`)},
	"metadata that is no object":   {providerJSON(`{"flags": [{"key": "a", "metadata": []}]}`), providerUnusable(`flag 1: its "metadata" is not an object`)},
	"headers larger than they are": {providerStatus(200, `{"flags": []}`, "X", strings.Repeat("x", 100<<10)), "the flag server at URL broke off, or does not speak HTTP: check flags.ofrep.url and look into its log"},
}

func providerUnusable(why string) string {
	return "1 of 1 contexts have no usable answer: the flag server at URL sent an answer that can't be used: " + why + ": look into its log and for a newer version of it"
}

func providerHalf(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"flags": [`)
	panic(http.ErrAbortHandler)
}

func providerBabble(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(conn, "220 mail.example.org secret\r\n")
	_ = conn.Close()
}

func TestProviderKeepsTheLastGoodAnswer(t *testing.T) {
	good := providerTold{Value: true, Reason: "STATIC"}
	for name, test := range providerFaults {
		t.Run(name, func(t *testing.T) {
			providerNoLeak(t)
			source := providerSourceOf(t, providerJSON(`{"flags": [{"key": "e2ee", "value": true, "reason": "STATIC"}]}`))
			log, logged := providerLog()
			p := providerOf(t, source.URL, func(o *ofrep.Options) { o.Logger = log })
			providerKeep(t, p, []string{"e2ee"}, providerFrance)
			providerRefresh(t, p)
			success := p.Status().LastSuccess

			source.answers(test.answer)
			err := p.Refresh(t.Context())
			if err == nil {
				t.Fatal("the round succeeded")
			}
			if got := strings.ReplaceAll(err.Error(), source.URL, "URL"); got != test.want {
				t.Errorf("the error is\n%s\nand not\n%s", got, test.want)
			}
			providerExpect(t, providerTell(p.BooleanEvaluation(t.Context(), "e2ee", false, providerFrance)), good)
			status := p.Status()
			if !errors.Is(status.Err, err) || !status.Answered || !status.LastSuccess.Equal(success) || status.Since.IsZero() {
				t.Errorf("the status is %+v", status)
			}
			if strings.Contains(logged(), "secret") {
				t.Errorf("logged %s", logged())
			}
			// A single evaluation gets no value from it either.
			if detail := p.BooleanEvaluation(t.Context(), "e2ee", true, providerUser); detail.Error() == nil && detail.Reason != openfeature.DefaultReason || !detail.Value || strings.Contains(fmt.Sprint(detail.Error()), "secret") {
				t.Errorf("a single evaluation told %+v", detail)
			}

			source.answers(providerJSON(`{"flags": []}`))
			providerRefresh(t, p)
			if status := p.Status(); status.Err != nil || !status.Since.IsZero() {
				t.Errorf("the status is %+v", status)
			}
			if got := p.BooleanEvaluation(t.Context(), "e2ee", true, providerFrance).Error(); providerCode(got) != "FLAG_NOT_FOUND" {
				t.Errorf("an empty answer is a good one: %v", got)
			}
		})
	}
}

func TestProviderStopsReadingWhatIsTooLarge(t *testing.T) {
	providerNoLeak(t)
	sent := make(chan int, 1)
	source := providerSourceOf(t, func(w http.ResponseWriter, r *http.Request) {
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
	p := providerOf(t, source.URL)
	providerKeep(t, p, []string{"e2ee"}, providerFrance)
	if err := p.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "sent more than 1048576 bytes") {
		t.Error(err)
	}
	// What is beyond the first MiB was under way in the system's buffers.
	if sent := <-sent; sent > 50<<20 {
		t.Errorf("%d bytes were sent", sent)
	}
}

func TestProviderSaysThatAServerIsDown(t *testing.T) {
	providerNoLeak(t)
	source := httptest.NewServer(http.NotFoundHandler())
	address := source.Listener.Addr().String()
	source.Close()
	p := providerOf(t, source.URL)
	providerKeep(t, p, []string{"e2ee"}, providerFrance)
	want := "the flag server at http://" + address + " can't be reached: dial tcp " + address + ": connect: " + syscall.ECONNREFUSED.Error() + ": check flags.ofrep.url and whether it runs"
	if err := p.Refresh(t.Context()); err == nil || err.Error() != want {
		t.Error(err)
	}
	if got := p.BooleanEvaluation(t.Context(), "e2ee", false, providerFrance).Error(); providerCode(got) != "PROVIDER_NOT_READY" {
		t.Error(got)
	}
	if got := p.BooleanEvaluation(t.Context(), "e2ee", false, providerUser).Error(); got == nil || got.Error() != "GENERAL: "+want {
		t.Error(got)
	}
}

func TestProviderWaitsForAServerThatHangsNoLongerThanItsTimeout(t *testing.T) {
	release := make(chan struct{})
	for name, hang := range map[string]http.HandlerFunc{
		"before it answers": func(w http.ResponseWriter, r *http.Request) { <-release },
		"in the middle": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"flags": [`)
			_ = http.NewResponseController(w).Flush()
			<-release
		},
	} {
		t.Run(name, func(t *testing.T) {
			source := providerSourceOf(t, hang)
			p := providerOf(t, source.URL, func(o *ofrep.Options) { o.Timeout = 50 * time.Millisecond })
			contexts := make([]openfeature.FlattenedContext, 1000)
			for i := range contexts {
				contexts[i] = openfeature.FlattenedContext{"targetingKey": fmt.Sprint(i)}
			}
			providerKeep(t, p, []string{"e2ee"}, contexts...)
			want := "the flag server at " + source.URL + " did not answer within 50ms: look at its load, and check flags.ofrep.url"
			if err := p.Refresh(t.Context()); err == nil || err.Error() != want {
				t.Error(err)
			}
			if asked := source.takeAsked(); len(asked) != 1 {
				t.Errorf("asked %d times", len(asked))
			}
			if got := p.BooleanEvaluation(t.Context(), "e2ee", false, providerUser).Error(); got == nil || got.Error() != "GENERAL: "+want {
				t.Error(got)
			}
			release <- struct{}{} // the handlers of the round and of the call
			release <- struct{}{}
		})
	}
}

func TestProviderTrustsTheAuthoritiesThatItIsGiven(t *testing.T) {
	providerNoLeak(t)
	source := &providerSource{answer: providerByCountry}
	source.Server = httptest.NewUnstartedServer(source)
	source.Config.ErrorLog = log.New(io.Discard, "", 0) // it says that it isn't trusted
	source.StartTLS()
	defer source.Close()
	pool := x509.NewCertPool()
	pool.AddCert(source.Certificate())

	trusting := providerOf(t, source.URL, func(o *ofrep.Options) { o.RootCAs = pool })
	providerKeep(t, trusting, []string{"e2ee"}, providerFrance)
	providerRefresh(t, trusting)
	providerExpect(t, providerTell(trusting.BooleanEvaluation(t.Context(), "e2ee", true, providerFrance)), providerTold{Value: false, Reason: "STATIC"})

	distrusting := providerOf(t, source.URL)
	providerKeep(t, distrusting, []string{"e2ee"}, providerFrance)
	want := "the flag server at " + source.URL + " has a certificate that is not trusted: " + x509.UnknownAuthorityError{}.Error() + ": check flags.ofrep.ca"
	if err := distrusting.Refresh(t.Context()); err == nil || err.Error() != want {
		t.Error(err)
	}

	plain := providerSourceOf(t, providerByCountry)
	over := strings.Replace(plain.URL, "http:", "https:", 1)
	wrong := providerOf(t, over)
	providerKeep(t, wrong, []string{"e2ee"}, providerFrance)
	want = "the flag server at " + over + " does not speak TLS: write http:// in flags.ofrep.url, or turn TLS on there"
	if err := wrong.Refresh(t.Context()); err == nil || err.Error() != want {
		t.Error(err)
	}
}

func TestProviderTakesItsCredentialsNowhereElse(t *testing.T) {
	elsewhere := providerSourceOf(t, providerJSON(`{"flags": [{"key": "e2ee", "value": false, "reason": "STATIC"}]}`))
	for _, status := range []int{301, 302, 303, 307, 308} {
		source := providerSourceOf(t, providerStatus(status, ``, "Location", elsewhere.URL))
		p := providerOf(t, source.URL, func(o *ofrep.Options) {
			o.Headers = func() (http.Header, error) { return http.Header{"Authorization": {"Bearer secret"}}, nil }
		})
		providerKeep(t, p, []string{"e2ee"}, providerFrance)
		if err := p.Refresh(t.Context()); err == nil {
			t.Errorf("%d was followed", status)
		}
		p.BooleanEvaluation(t.Context(), "e2ee", true, providerUser)
	}
	if asked := elsewhere.takeAsked(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
}

func TestProviderAsksNothingWithoutItsCredentials(t *testing.T) {
	source := providerSourceOf(t, providerByCountry)
	headers, failure := http.Header(nil), error(nil)
	p := providerOf(t, source.URL, func(o *ofrep.Options) {
		o.Headers = func() (http.Header, error) { return headers, failure }
	})
	providerKeep(t, p, []string{"e2ee"}, providerFrance)

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
	providerRefresh(t, p)
}

func TestProviderRepeatsNeitherContextsNorSecrets(t *testing.T) {
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
		source := providerSourceOf(t, echo)
		log, logged := providerLog()
		p := providerOf(t, source.URL, func(o *ofrep.Options) {
			o.Logger = log
			o.Headers = func() (http.Header, error) { return http.Header{"Authorization": {"Bearer secret"}}, nil }
		})
		context := openfeature.FlattenedContext{"targetingKey": "user-123", "email": "user@example.com"}
		providerKeep(t, p, []string{"e2ee"}, context)
		err := p.Refresh(t.Context())
		_, _, prefetch := p.Prefetch(t.Context(), openfeature.FlattenedContext{"targetingKey": "user-123"})
		said := fmt.Sprintf("%v\n%v\n%v\n%v\n%v\n%s", err, prefetch, p.Status(),
			p.BooleanEvaluation(t.Context(), "e2ee", false, context).Error(),
			p.BooleanEvaluation(t.Context(), "e2ee", false, openfeature.FlattenedContext{"targetingKey": "user-123"}).Error(),
			logged())
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

func providerMany(n int) []openfeature.FlattenedContext {
	contexts := make([]openfeature.FlattenedContext, n)
	for i := range contexts {
		contexts[i] = openfeature.FlattenedContext{"targetingKey": fmt.Sprint("probe-", i%4), "jurisdiction": fmt.Sprint("J", i/4)}
	}
	return contexts
}

func TestProviderAsksAServerThatFailsOnlyOnce(t *testing.T) {
	for _, status := range []int{401, 404, 429, 500, 503} {
		source := providerSourceOf(t, providerStatus(status, ``))
		p := providerOf(t, source.URL)
		providerKeep(t, p, []string{"e2ee"}, providerMany(1000)...)
		if p.Refresh(t.Context()) == nil {
			t.Errorf("%d: the round succeeded", status)
		}
		if asked := source.takeAsked(); len(asked) != 1 {
			t.Errorf("%d: asked %d times", status, len(asked))
		}
	}
}

func TestProviderGivesUpARoundOfUnusableAnswers(t *testing.T) {
	source := providerSourceOf(t, providerJSON(`{`))
	p := providerOf(t, source.URL)
	providerKeep(t, p, []string{"e2ee"}, providerMany(1000)...)
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

func TestProviderAsksForAllOthersWhenOneContextBreaksTheServer(t *testing.T) {
	source := providerSourceOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"J2"`) && strings.Contains(string(body), "probe-1") {
			providerStatus(500, ``)(w, r)
			return
		}
		providerStatus(200, `{"flags": [{"key": "e2ee", "value": true, "reason": "STATIC"}]}`)(w, r)
	})
	p := providerOf(t, source.URL)
	contexts := providerMany(40)
	providerKeep(t, p, []string{"e2ee"}, contexts...)
	for range 2 {
		if p.Refresh(t.Context()) == nil {
			t.Error("the round succeeded")
		}
	}
	for i, context := range contexts {
		err := p.BooleanEvaluation(t.Context(), "e2ee", false, context).Error()
		if i != 9 && err != nil || i == 9 && providerCode(err) != "PROVIDER_NOT_READY" {
			t.Errorf("context %d: %v", i, err)
		}
	}
}

func TestProviderReplacesOneContextWithoutTheOthers(t *testing.T) {
	source := providerSourceOf(t, providerByCountry)
	p := providerOf(t, source.URL)
	providerKeep(t, p, []string{"e2ee"}, providerFrance, providerGermany)
	providerRefresh(t, p)
	source.answers(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"FR"`) {
			providerStatus(400, `{"errorCode": "INVALID_CONTEXT"}`)(w, r)
			return
		}
		providerJSON(`{"flags": [{"key": "e2ee", "value": false, "reason": "SPLIT"}]}`)(w, r)
	})
	if err := p.Refresh(t.Context()); err == nil || err.Error() != "1 of 2 contexts have no usable answer: the flag server can't use the context: look into its log" {
		t.Error(err)
	}
	providerExpect(t, providerTell(p.BooleanEvaluation(t.Context(), "e2ee", true, providerFrance)), providerTold{Value: false, Reason: "STATIC"})
	providerExpect(t, providerTell(p.BooleanEvaluation(t.Context(), "e2ee", true, providerGermany)), providerTold{Value: false, Reason: "SPLIT"})
}

func TestProviderLeavesAServerAloneForAsLongAsItWants(t *testing.T) {
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
			clock := providerClockAt("2024-02-07T12:00:00Z")
			source := providerSourceOf(t, providerStatus(test.status, ``, test.header...))
			p := providerOf(t, source.URL, func(o *ofrep.Options) { o.Now = clock.Now })
			providerKeep(t, p, []string{"e2ee"}, providerFrance)
			asksNothing := func() bool {
				source.takeAsked()
				_ = p.Refresh(t.Context())
				p.BooleanEvaluation(t.Context(), "e2ee", false, providerUser)
				_, _, _ = p.Prefetch(t.Context(), providerUser)
				return len(source.takeAsked()) == 0
			}
			if asksNothing() {
				t.Fatal("the server was never asked")
			}
			source.answers(providerByCountry)
			if test.wait == 0 {
				providerRefresh(t, p)
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
			providerRefresh(t, p)
		})
	}
}

func TestProviderAsksAFewContextsAtOnce(t *testing.T) {
	var now, most atomic.Int32
	var together sync.WaitGroup
	together.Add(8) // the round goes on when eight are under way
	source := providerSourceOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		at := now.Add(1)
		defer now.Add(-1)
		for before := most.Load(); at > before && !most.CompareAndSwap(before, at); before = most.Load() {
		}
		for i := 1; i <= 8; i++ { // the first is asked alone
			if strings.Contains(string(body), fmt.Sprintf(`"J%d"`, i/4)) && strings.Contains(string(body), fmt.Sprintf("probe-%d", i%4)) {
				together.Done()
				together.Wait()
			}
		}
		providerJSON(`{"flags": []}`)(w, r)
	})
	p := providerOf(t, source.URL)
	providerKeep(t, p, []string{"e2ee"}, providerMany(100)...)
	providerRefresh(t, p)
	if most.Load() != 8 {
		t.Errorf("%d were asked at once", most.Load())
	}
	if asked := source.takeAsked(); len(asked) != 100 {
		t.Errorf("asked %d times", len(asked))
	}
}
