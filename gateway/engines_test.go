package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/exitgate/exitgate/gateway/config"
)

// TestTheEnginesAgree makes requests of HTTP/2, valid and broken, to a gateway with each
// engine. What the client gets, what the app received, which it answers with, and what was
// counted must be the same.
//
// They may differ in how a malformed request fails (RFC 9113, sections 8.1.1, 8.2.2 and 8.3.1):
// its stream is reset, or it is answered with 400, which net/http does in more cases, and in
// others from one release to the next.
//
// EXITGATE_TEST_ROUNDS makes more requests than a sample, from EXITGATE_TEST_SEED.
func TestTheEnginesAgree(t *testing.T) {
	started := time.Now() // and the gateways' time throughout, as answers have it
	now := func() time.Time { return started }
	standard, fast := startEngine(t, config.Standard, now), startEngine(t, config.Fast, now)
	rounds, seed := 600, 1
	if testing.Short() {
		rounds = 200
	}
	for variable, value := range map[string]*int{"EXITGATE_TEST_ROUNDS": &rounds, "EXITGATE_TEST_SEED": &seed} {
		if text := os.Getenv(variable); text != "" {
			var err error
			if *value, err = strconv.Atoi(text); err != nil {
				t.Fatalf("%s: %v", variable, err)
			}
		}
	}
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	var toStandard, toFast *h2
	reset := 0
	for range rounds {
		if toStandard == nil {
			toStandard, toFast = standard.h2(t), fast.h2(t)
		}
		r := randomRequest(random)
		want, got := toStandard.exchange(r), toFast.exchange(r)
		if r.isMalformed && (got.failed || want.failed) && !got.isServed() && !want.isServed() {
			reset++
		} else if d := cmp.Diff(want, got, cmp.AllowUnexported(h2answer{})); d != "" {
			t.Fatalf("%v\nstandard and fast differ: %s", r, d)
		}
		// net/http ends a connection by what comes after an early answer or a reset.
		if want.failed || got.failed || len(r.body) > 0 {
			_, _ = toStandard.conn.Close(), toFast.conn.Close()
			toStandard = nil
		}
	}
	if reset == 0 || reset > rounds/2 {
		t.Errorf("%d of the requests were malformed", reset)
	}
	if d := cmp.Diff(decidedBy(standard), decidedBy(fast)); d != "" {
		t.Errorf("standard and fast count differently: %s", d)
	}
}

func startEngine(t *testing.T, engine string, now func() time.Time) *gate {
	return start(t, setup{
		now:       now,
		configure: func(c *config.Config) { c.Listen.Engine = engine },
		policy: `
version: 1
routes: {sign-up: [POST /signup]}
jurisdictions: {FR: withdrawn, DE: closed-to-new, US-MS: {phase: announced, unknown-part: serve}}
`,
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			r.Header.Del("X-Request-Id") // a new one each
			if r.URL.Path == "/empty" {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprintf(w, "%s %s %s\n", r.Method, r.RequestURI, r.Host)
			for _, name := range slices.Sorted(maps.Keys(r.Header)) {
				fmt.Fprintf(w, "%s: %q\n", name, r.Header[name])
			}
			fmt.Fprintf(w, "%q %v\n", body, r.Trailer)
			if r.URL.Path == "/long" {
				_, _ = w.Write(bytes.Repeat([]byte("long "), 5000))
			}
			w.Header().Set("X-Sum", "1")
		}),
	})
}

// decidedBy returns what a gate has counted of requests that were decided.
func decidedBy(g *gate) map[string]float64 {
	samples := g.samples()
	maps.DeleteFunc(samples, func(name string, _ float64) bool {
		return !strings.HasPrefix(name, "exitgate_requests_total") && !strings.HasPrefix(name, "exitgate_geo_lookups")
	})
	return samples
}

// An h2request is one as it goes over the wire.
type h2request struct {
	fields   [][2]string
	body     []string // frames
	trailers [][2]string
	// isMalformed is that it has fields of HTTP/1.1, another body than it says, or a path or
	// a host that is none.
	isMalformed bool
}

func randomRequest(random *rand.Rand) (r h2request) {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	rarely := func() bool { return random.IntN(12) == 0 }
	add := func(name, value string) { r.fields = append(r.fields, [2]string{name, value}) }

	add(":method", pick("GET", "GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"))
	if rarely() {
		r.fields[0][1] = pick("TRACE", "get", "POST /x", "BREW", "CONNECT", "")
	}
	add(":scheme", "https")
	if rarely() {
		r.fields[1][1] = pick("http", "ftp", "")
	}
	if !rarely() {
		authority := host
		if rarely() {
			authority = pick(host+":443", strings.ToUpper(host), "strange.example", "a b", "me@"+host, "["+host, "", host+".")
		}
		add(":authority", authority)
	}
	add(":path", pick("/", "/signup", "/signup?x=1", "/long", "/empty", "/robots.txt", "/.well-known/market-status"))
	if rarely() {
		path := &r.fields[len(r.fields)-1][1]
		*path = pick("/%2e%2e/signup", "//signup", "*", "signup", "/%zz", "/a b", "/#x", "/?_method=POST", "http://"+host+"/", "")
		r.isMalformed = !strings.HasPrefix(*path, "/") && *path != "*"
	}
	if rarely() {
		random.Shuffle(len(r.fields), func(i, j int) { r.fields[i], r.fields[j] = r.fields[j], r.fields[i] })
	}
	add("x-forwarded-for", pick(france, germany, mississippi, nowhere))
	for range random.IntN(4) {
		f := [][2]string{
			{"accept", "text/html"}, {"accept-language", "fr"}, {"cookie", "a=1"}, {"cookie", "b=2"}, {"origin", "https://other.example"},
			{"market-jurisdiction", "FR"}, {"x-http-method-override", "POST"}, {"te", "trailers"}, {"x-empty", ""}, {"x-twice", "1"}, {"x-twice", "2"},
			{"x_forwarded_for", "1.2.3.4"}, {"expect", "100-continue"}, {"trailer", "x-sum, content-length"}, {"x-large", strings.Repeat("x", 3000)},
			{"content-type", "application/json"}, {"proxy", "x"}, {"x-request-id", "mine"}, {"range", "bytes=0-1"},
		}[random.IntN(19)]
		add(f[0], f[1])
	}
	if rarely() {
		f := [][2]string{
			{"Upper", "x"}, {"x space", "x"}, {"x-control", "a\x01"}, {"x-newline", "a\r\nb: c"}, {":path", "/again"}, {":unknown", "x"}, {"", "x"},
			{"host", host}, {"host", "other.example"}, {"x-forwarded-for", "strange"}, {"x-larger", strings.Repeat("x", 9000)},
		}[random.IntN(11)]
		add(f[0], f[1])
		r.isMalformed = r.isMalformed || f[0] == "host"
	}
	if rarely() {
		f := [][2]string{{"connection", "close"}, {"transfer-encoding", "chunked"}, {"upgrade", "h2c"}, {"keep-alive", "1"}, {"te", "gzip"}}[random.IntN(5)]
		add(f[0], f[1])
		r.isMalformed = true
	}
	isTE := func(f [2]string) bool { return f[0] == "te" }
	if first := slices.IndexFunc(r.fields, isTE); first >= 0 && slices.ContainsFunc(r.fields[first+1:], isTE) {
		r.isMalformed = true
	}
	if random.IntN(3) == 0 {
		length := 0
		for range 1 + random.IntN(3) {
			r.body = append(r.body, strings.Repeat("b", random.IntN(40)))
			length += len(r.body[len(r.body)-1])
		}
		switch random.IntN(4) {
		case 0:
			add("content-length", fmt.Sprint(length))
		case 1:
			// What isn't forwarded may be answered before the body's end comes.
			if rarely() && !slices.Contains(r.fields, [2]string{":path", "/.well-known/market-status"}) {
				add("content-length", fmt.Sprint(length+1-2*random.IntN(2)))
				r.isMalformed = true
			}
		case 2:
			r.trailers = [][2]string{{"x-sum", "1"}, {"x-other", "2"}}
		}
	}
	return r
}

// An h2answer is what a client got. The request's id and the date are left out.
type h2answer struct {
	statuses []string
	fields   []string
	body     string
	trailers []string
	failed   bool // the stream was reset, or the connection ended
}

// isServed reports whether it is an answer, other than that something is wrong.
func (a h2answer) isServed() bool {
	return slices.ContainsFunc(a.statuses, func(status string) bool { return status >= "200" && status < "400" })
}

// exchange makes a request and returns what became of it.
func (c *h2) exchange(r h2request) (a h2answer) {
	c.t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0) // a connection's encoder would have to be kept
	encode := func(fields [][2]string) []byte {
		block.Reset()
		for _, f := range fields {
			_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		return block.Bytes()
	}
	id := c.next
	c.next += 2
	hasMore := len(r.body) > 0 || len(r.trailers) > 0
	_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: encode(r.fields), EndStream: !hasMore, EndHeaders: true})
	for i, part := range r.body {
		_ = c.framer.WriteData(id, i == len(r.body)-1 && len(r.trailers) == 0, []byte(part))
	}
	if len(r.trailers) > 0 {
		_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: encode(r.trailers), EndStream: true, EndHeaders: true})
	}
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return h2answer{failed: true}
		}
		ended := false
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			return h2answer{failed: true}
		case *http2.MetaHeadersFrame:
			status, fields := f.PseudoValue("status"), []string(nil)
			for _, field := range f.RegularFields() {
				if field.Name != "date" && field.Name != "x-request-id" {
					fields = append(fields, field.Name+": "+field.Value)
				}
			}
			slices.Sort(fields)
			if status == "" {
				a.trailers = fields
			} else {
				a.statuses, a.fields = append(a.statuses, status), fields
			}
			ended = f.StreamEnded()
		case *http2.DataFrame:
			a.body += string(f.Data())
			_ = c.framer.WriteWindowUpdate(0, max(1, f.Length))
			ended = f.StreamEnded()
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return h2answer{failed: true}
			}
		}
		if ended {
			return a
		}
	}
}
