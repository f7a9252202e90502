package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
)

// TestGatewayScripts runs the verbs that ask a gateway against a real one:
// testdata/script/gateway.
func TestGatewayScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script/gateway",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               withGateway(func() any { return &realGateway{t: t} }),
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"gateway": commandReal},
	})
}

// commandReal commands the gateway of a script:
//
//	gateway start [POLICY]    start it, with a policy file or the ledger; sets API to the address for --api
//	gateway strands           start it with a ledger on NATS that nobody can reach
//	gateway stop              stop it
//	gateway waits TIME        let so much time go by for it
//	gateway database FILE PLACES    put a City database, of lines "NETWORK PLACE", where it reads its own from the start after
//	gateway becomes REGEXP    wait until GET /v1/geo matches
//	gateway app               put it in front of an app, from the start after, whose answers don't end
//	gateway opens ADDRESS     ask it as a client, and read the answer until it is cut
//	gateway cuts              wait until all of these are
//	gateway goes TIME         let its clock show a moment from now on
//	gateway says ADDRESS TARGET LANGUAGE TYPE    keep what a client with an address is answered in the file said, in one line, but for when
//	gateway measures          keep what it measures in the file said
//	gateway answers ADDRESS STATUS    ask it for / as a client with an address
func commandReal(ts *testscript.TestScript, neg bool, args []string) {
	g := ts.Value("gateway").(*realGateway)
	switch {
	case neg || len(args) == 0:
		ts.Fatalf("see commandReal for how to use gateway")
	case args[0] == "start":
		file := ""
		if len(args) == 2 {
			file = ts.MkAbs(args[1])
		}
		ts.Check(g.start(ts.Getenv("EXITGATE_DATA"), config.PolicySource{File: file}))
		ts.Defer(g.stop)
		ts.Setenv("API", "http://"+g.at.Admin)
	case args[0] == "strands":
		ts.Check(g.start(ts.Getenv("EXITGATE_DATA"), config.PolicySource{Ledger: config.Ledger{NATS: []string{"nats://127.0.0.1:1"}, Replicas: 1, Name: "exitgate"}}))
		ts.Defer(g.stop)
	case args[0] == "stop":
		g.stop()
	case args[0] == "waits" && len(args) == 2:
		d, err := time.ParseDuration(args[1])
		ts.Check(err)
		g.later.Add(int64(d))
	case args[0] == "app":
		app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush() // the client has the header
			<-r.Context().Done()
		}))
		g.upstream = app.URL
		ts.Defer(app.Close)
	case args[0] == "opens" && len(args) == 2:
		ts.Check(g.open(args[1]))
	case args[0] == "cuts":
		g.streams.Wait()
	case args[0] == "goes" && len(args) == 2:
		at, err := time.Parse(time.RFC3339, args[1])
		ts.Check(err)
		g.later.Store(int64(time.Until(at)))
	case args[0] == "says" && len(args) == 5:
		said, err := g.read("https://"+g.at.HTTPS+args[2], http.Header{"X-Forwarded-For": {args[1]}, "Accept-Language": {args[3]}, "Accept": {args[4]}})
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs("said"), []byte(said), 0o600))
	case args[0] == "measures":
		said, err := g.read("http://"+g.at.Admin+"/metrics", nil)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs("said"), []byte(strings.ReplaceAll(said, " exitgate_", "\nexitgate_")), 0o600))
	case args[0] == "database" && len(args) == 3:
		networks := geotest.Networks{}
		for line := range strings.Lines(ts.ReadFile(args[2])) {
			network, place, _ := strings.Cut(strings.TrimSpace(line), " ")
			networks[network] = place
		}
		g.database = ts.MkAbs(args[1])
		geotest.Replace(g.t, g.database, geotest.City(g.t, networks))
	case args[0] == "becomes" && len(args) == 2:
		for begin := time.Now(); !regexp.MustCompile(args[1]).MatchString(g.geo()); time.Sleep(10 * time.Millisecond) {
			if time.Since(begin) > patience {
				ts.Fatalf("it doesn't: %s", g.geo())
			}
		}
	case args[0] == "answers" && len(args) == 3:
		want, err := strconv.Atoi(args[2])
		ts.Check(err)
		got, err := g.ask(args[1])
		ts.Check(err)
		if got != want {
			ts.Fatalf("it answers %d", got)
		}
	default:
		ts.Fatalf("see commandReal for how to use gateway")
	}
}

// A realGateway runs in the process of the test.
type realGateway struct {
	t        testing.TB
	database string // file; "" is the embedded one
	data     string // folder
	at       gateway.Addresses
	later    atomic.Int64 // how far its clock is ahead
	upstream string       // "" is one that nobody is at
	streams  sync.WaitGroup
	stop     func()
}

func (g *realGateway) start(data string, from config.PolicySource) error {
	c := config.Default()
	c.Listen = config.Listen{HTTPS: "127.0.0.1:0"}
	c.Admin.Listen = "127.0.0.1:0"
	c.Apps = []config.App{{Hosts: []string{"*"}, Upstreams: []string{cmp.Or(g.upstream, "http://127.0.0.1:1")}}}
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	c.Policy = from
	c.Data, g.data = data, data
	c.Drain = time.Millisecond
	if g.database != "" {
		c.Geo.Databases = []string{g.database}
	}
	real, err := gateway.New(gateway.Options{Config: c, Now: func() time.Time { return time.Now().Add(time.Duration(g.later.Load())) }})
	if err != nil {
		return err
	}
	if g.at, err = real.Listen(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = real.Serve(ctx)
	}()
	g.stop = func() {
		cancel()
		<-stopped
	}
	return nil
}

// open begins to read an answer.
func (g *realGateway) open(address string) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	r, err := http.NewRequest(http.MethodGet, "https://"+g.at.HTTPS+"/", nil)
	if err != nil {
		return err
	}
	r.Header.Set("X-Forwarded-For", address)
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return err
	}
	g.streams.Go(func() {
		defer transport.CloseIdleConnections()
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body) // until it is cut
	})
	return nil
}

// geo returns what the gateway says of its databases.
func (g *realGateway) geo() string {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(g.data, "admin.sock"))
	}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("http://gateway/v1/geo")
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	var compact bytes.Buffer
	if err != nil || json.Compact(&compact, text) != nil {
		return string(text)
	}
	return compact.String()
}

// ask returns the status of the answer to a client.
func (g *realGateway) ask(address string) (int, error) {
	said, err := g.read("https://"+g.at.HTTPS+"/", http.Header{"X-Forwarded-For": {address}})
	if err != nil {
		return 0, err
	}
	var status int
	_, err = fmt.Sscanf(said, "HTTP/1.1 %d", &status)
	return status, err
}

// asOf is when a public status was made.
var asOf = regexp.MustCompile(`("as-of": "|<bdi>)\d{4}-\d\d-\d\d[T ][0-9:]+( UTC|Z)`)

// read returns an answer in one line: its status, its header and its body.
func (g *realGateway) read(url string, header http.Header) (string, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	if header != nil {
		r.Header = header
	}
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	response.Header.Del("Date")
	response.Header.Del("X-Request-Id") // random
	text, err := httputil.DumpResponse(response, true)
	text = asOf.ReplaceAll(text, []byte("${1}now"))
	return strings.Join(strings.Fields(html.UnescapeString(string(text))), " "), err
}
