package notice_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/policy"
)

// refusing starts a server that refuses everybody, over HTTP/1.1 and HTTP/2.
func refusing(t *testing.T) *httptest.Server {
	b := newSet(t, linked, everyKind...)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "7")
		b.For(withdrawn, 0, r.Header["Accept"], r.Header["Accept-Language"], r.Header.Get("Content-Type"), r.Header.Get("Sec-Fetch-Dest")).Write(w, r)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestHeadIsAsGetWithoutABody(t *testing.T) {
	s := refusing(t)
	ask := func(method string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		response, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		response.Header.Del("Date")
		return response, string(body)
	}
	get, page := ask(http.MethodGet)
	head, nothing := ask(http.MethodHead)
	if get.StatusCode != 451 || head.StatusCode != 451 {
		t.Errorf("GET is answered %d, HEAD %d", get.StatusCode, head.StatusCode)
	}
	if nothing != "" || get.ContentLength != int64(len(page)) || head.ContentLength != int64(len(page)) {
		t.Errorf("HEAD has %d bytes and announces %d, GET has %d", len(nothing), head.ContentLength, len(page))
	}
	for name := range get.Header {
		if got, want := head.Header[name], get.Header[name]; strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s of HEAD is %q, of GET %q", name, got, want)
		}
	}
	if get.Header.Get("X-Request-Id") != "7" {
		t.Error("Write dropped a field that was set before")
	}
	if len(get.Header["Link"]) != 2 {
		t.Errorf("Link: %q, want two", get.Header["Link"])
	}
}

func TestAWebSocketHandshakeIsRefused(t *testing.T) {
	s := refusing(t)
	_, response, err := websocket.Dial(t.Context(), s.URL, &websocket.DialOptions{HTTPClient: s.Client()})
	if err == nil || response == nil || response.StatusCode != 451 {
		t.Fatalf("response %v, error %v; want 451", response, err)
	}
	if got := response.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("Content-Type: %s", got)
	}
}

func TestAGRPCClientIsDeniedPermission(t *testing.T) {
	s := refusing(t)
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	conn, err := grpc.NewClient(s.Listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	french := phrases.All()[1]
	check := func(what string, err error) {
		t.Helper()
		got := status.Convert(err)
		if got.Code() != codes.PermissionDenied || !strings.HasPrefix(got.Message(), french.Withdrawn.Title) || !strings.HasSuffix(got.Message(), linked.Appeal) {
			t.Errorf("%s ends with %v: %q", what, got.Code(), got.Message())
		}
	}
	check("a call", conn.Invoke(t.Context(), "/messenger.Messages/Send", &emptypb.Empty{}, &emptypb.Empty{}))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/messenger.Messages/Follow")
	if err != nil {
		t.Fatal(err)
	}
	check("a stream", stream.RecvMsg(&emptypb.Empty{}))
}

// A null is a response nobody reads.
type null struct {
	header http.Header
	status int
	bytes  int
}

func (n *null) Header() http.Header         { return n.header }
func (n *null) WriteHeader(status int)      { n.status = status }
func (n *null) Write(p []byte) (int, error) { n.bytes += len(p); return len(p), nil }

func TestWriteDoesNotShareItsValues(t *testing.T) {
	b := newSet(t, linked, withdrawn)
	first := &null{header: http.Header{}}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	b.For(withdrawn, 0, nil, nil, "", "").Write(first, r)
	first.header.Add("Vary", "Cookie")
	second := &null{header: http.Header{}}
	b.For(withdrawn, 0, nil, nil, "", "").Write(second, r)
	if got := second.header["Vary"]; len(got) != 1 {
		t.Errorf("Vary: %q", got)
	}
}

func BenchmarkRefusal(b *testing.B) {
	browser := http.Header{
		"Accept":          {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"},
		"Accept-Language": {"fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7"},
	}
	hostile := http.Header{
		"Accept":          {strings.Repeat("a/b;q=0.1,", 400)},
		"Accept-Language": {strings.Repeat("x-y-z-a-b-c-d-e-f-g-h-i-j-k-l,", 400)},
	}
	for name, header := range map[string]http.Header{"curl": {"Accept": {"*/*"}}, "browser": browser, "hostile": hostile, "grpc": {"Content-Type": {"application/grpc"}}} {
		b.Run(name, func(b *testing.B) {
			set := newSet(b, linked, everyKind...)
			w := &null{header: make(http.Header, 16)}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header = header
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				set.For(withdrawn, 0, r.Header["Accept"], r.Header["Accept-Language"], r.Header.Get("Content-Type"), r.Header.Get("Sec-Fetch-Dest")).Write(w, r)
			}
		})
	}
}

// BenchmarkNewSet prepares a policy of 250 countries, 1,000 subdivisions and
// five route classes.
func BenchmarkNewSet(b *testing.B) {
	var decisions []*policy.Decision
	for range 1250 {
		for _, class := range []string{policy.Other, policy.SignUp, policy.Export, "news", "api"} {
			d := *withdrawn
			d.ID, d.Class = len(decisions), class
			decisions = append(decisions, &d)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		newSet(b, linked, decisions...)
	}
}

// BenchmarkFirst is the first refusal of a kind, which renders its notice.
func BenchmarkFirst(b *testing.B) {
	for name, accept := range map[string][]string{"page": {"text/html"}, "problem": {"application/json"}, "text": nil} {
		b.Run(name, func(b *testing.B) {
			set := newSet(b, linked, everyKind...)
			set.SetLimit(0)
			b.ReportAllocs()
			for b.Loop() {
				set.For(withdrawn, 0, accept, nil, "", "")
			}
		})
	}
}
