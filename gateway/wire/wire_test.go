package wire_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/exitgate/exitgate/gateway/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should happen at once.
const patience = 30 * time.Second

// A server is one of HTTP/2 without TLS, and what it said of abuse.
type server struct {
	*http.Server
	t      *testing.T
	at     string
	abuses chan wire.Abuse
}

func serve(t *testing.T, h http.HandlerFunc, configure ...func(*http.Server)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Server: &http.Server{Handler: h, Protocols: new(http.Protocols)}, t: t, at: l.Addr().String(), abuses: make(chan wire.Abuse, 1)}
	s.Protocols.SetUnencryptedHTTP2(true)
	for _, f := range configure {
		f(s.Server)
	}
	wire.ServeHTTP2(s.Server, wire.Options{OnAbuse: func(a wire.Abuse) { s.abuses <- a }})
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() {
		_ = s.Close()
		serving.Wait()
	})
	return s
}

// A peer is a client that does as it likes.
type peer struct {
	*http2.Framer
	t    *testing.T
	conn net.Conn
	enc  *hpack.Encoder
	buf  bytes.Buffer
}

// connect begins a connection.
func (s *server) connect(settings ...http2.Setting) *peer {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.at)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	p := &peer{Framer: http2.NewFramer(conn, conn), t: s.t, conn: conn}
	p.enc = hpack.NewEncoder(&p.buf)
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.AllowIllegalWrites = true
	_, err = io.WriteString(conn, http2.ClientPreface)
	p.must(err)
	p.must(p.WriteSettings(settings...))
	return p
}

func (p *peer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// ask sends the head of a request: pairs of names and values, and what must be there.
func (p *peer) ask(stream uint32, end bool, fields ...string) {
	p.t.Helper()
	p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.block(fields...), EndStream: end, EndHeaders: true}))
}

func (p *peer) block(fields ...string) []byte {
	p.buf.Reset()
	for _, pseudo := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "app.example"}, {":path", "/"}} {
		if i := slices.Index(fields, pseudo[0]); i >= 0 {
			pseudo[1] = fields[i+1]
			fields = slices.Delete(slices.Clone(fields), i, i+2)
		}
		_ = p.enc.WriteField(hpack.HeaderField{Name: pseudo[0], Value: pseudo[1]})
	}
	for i := 0; i < len(fields); i += 2 {
		_ = p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return p.buf.Bytes()
}

// next reads until there is a frame of a kind.
func next[F http2.Frame](p *peer) F {
	p.t.Helper()
	for {
		f, err := p.ReadFrame()
		if err != nil {
			var want F
			p.t.Fatalf("waiting for %T: %v", want, err)
		}
		if f, ok := f.(F); ok {
			return f
		}
	}
}

// An answer is what came on a stream: a status each head, the body, the trailers, or how
// it was reset.
type answer struct {
	status   string
	header   http.Header
	body     string
	trailers http.Header
	reset    http2.ErrCode
}

// answers reads until so many streams have ended, and returns them in the order of that.
func (p *peer) answers(n int) (order []uint32, by map[uint32]*answer) {
	p.t.Helper()
	by = make(map[uint32]*answer)
	of := func(id uint32) *answer {
		if by[id] == nil {
			by[id] = &answer{}
		}
		return by[id]
	}
	for len(order) < n {
		f, err := p.ReadFrame()
		if err != nil {
			p.t.Fatalf("%d of %d streams have ended: %v", len(order), n, err)
		}
		id, ended := f.Header().StreamID, false
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			a, h := of(id), make(http.Header)
			for _, field := range f.RegularFields() {
				h.Add(field.Name, field.Value)
			}
			if status := f.PseudoValue("status"); status != "" {
				a.status, a.header = strings.TrimSpace(a.status+" "+status), h
			} else {
				a.trailers = h
			}
			ended = f.StreamEnded()
		case *http2.DataFrame:
			of(id).body += string(f.Data())
			ended = f.StreamEnded()
		case *http2.RSTStreamFrame:
			of(id).reset, ended = f.ErrCode, !slices.Contains(order, id)
		case *http2.GoAwayFrame:
			p.t.Fatalf("the server has gone away: %v", f.ErrCode)
		}
		if ended {
			order = append(order, id)
		}
	}
	return order, by
}

func (p *peer) answer() *answer {
	p.t.Helper()
	order, by := p.answers(1)
	return by[order[0]]
}

func TestAHandlerAnswersAsItDoesWithNetHTTP(t *testing.T) {
	long := strings.Repeat("long ", 20_000)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			_, _ = io.WriteString(w, "short")
		case "/long":
			w.Header().Set("Content-Length", strconv.Itoa(len(long)))
			_, _ = io.WriteString(w, long)
		case "/trailers":
			w.Header().Set("Trailer", "X-Sum")
			w.WriteHeader(http.StatusAccepted)
			_ = http.NewResponseController(w).Flush()
			w.Header().Set("X-Sum", "1")
			w.Header().Set(http.TrailerPrefix+"X-Late", "2")
		case "/early":
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNoContent)
		case "/echo":
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, string(body)+" "+r.Trailer.Get("X-Sum"))
		case "/panic":
			panic(http.ErrAbortHandler)
		case "/less":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "less")
		}
	})
	for _, c := range []struct {
		name string
		ask  func(*peer)
		want answer
		has  map[string]string // fields; "" is none
	}{
		{"a short body has a length and a type", func(p *peer) { p.ask(1, true, ":path", "/short") },
			answer{status: "200", body: "short"}, map[string]string{"Content-Length": "5", "Content-Type": "text/plain; charset=utf-8"}},
		{"a HEAD has no body", func(p *peer) { p.ask(1, true, ":path", "/short", ":method", "HEAD") },
			answer{status: "200"}, map[string]string{"Content-Length": "5"}},
		{"a long body comes in frames", func(p *peer) {
			p.must(p.WriteWindowUpdate(0, 1<<20))
			p.ask(1, true, ":path", "/long")
			p.must(p.WriteWindowUpdate(1, 1<<20))
		}, answer{status: "200", body: long}, nil},
		{"trailers, announced or not", func(p *peer) { p.ask(1, true, ":path", "/trailers") },
			answer{status: "202", trailers: http.Header{"X-Sum": {"1"}, "X-Late": {"2"}}}, nil},
		{"an informational answer comes first", func(p *peer) { p.ask(1, true, ":path", "/early") },
			answer{status: "103 204"}, map[string]string{"Content-Length": "", "Content-Type": ""}},
		{"a body with trailers, that waits for a 100", func(p *peer) {
			p.ask(1, false, ":path", "/echo", ":method", "POST", "expect", "100-continue", "trailer", "x-sum")
			if status := next[*http2.MetaHeadersFrame](p).PseudoValue("status"); status != "100" {
				t.Errorf("status %s instead of 100", status)
			}
			p.must(p.WriteDataPadded(1, false, []byte("body"), make([]byte, 9)))
			p.buf.Reset()
			_ = p.enc.WriteField(hpack.HeaderField{Name: "x-sum", Value: "7"})
			p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.buf.Bytes(), EndStream: true, EndHeaders: true}))
		}, answer{status: "200", body: "body 7"}, nil},
		{"a handler that aborts resets its stream", func(p *peer) { p.ask(1, true, ":path", "/panic") },
			answer{reset: http2.ErrCodeInternal}, nil},
		{"a body shorter than declared is no whole one", func(p *peer) { p.ask(1, true, ":path", "/less") },
			answer{reset: http2.ErrCodeInternal}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.connect()
			c.ask(p)
			got := p.answer()
			if got.status != c.want.status || got.body != c.want.body || got.reset != c.want.reset {
				t.Errorf("status %q, %d bytes, reset by %v", got.status, len(got.body), got.reset)
			}
			for name, value := range c.has {
				if got.header.Get(name) != value {
					t.Errorf("%s: %q", name, got.header.Get(name))
				}
			}
			for name := range c.want.trailers {
				if got.trailers.Get(name) != c.want.trailers.Get(name) {
					t.Errorf("trailers %v", got.trailers)
				}
			}
		})
	}
}

func TestASlowStreamDelaysNoOther(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
	})
	p := s.connect()
	p.ask(1, true, ":path", "/slow")
	for id := uint32(3); id <= 15; id += 2 {
		p.ask(id, true)
	}
	if order, _ := p.answers(7); slices.Contains(order, 1) {
		t.Errorf("streams have ended: %v", order)
	}
	close(release)
	p.answer()
}

func TestAStreamWithoutAWindowHoldsUpNoOther(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := w.Write(make([]byte, 100<<10))
		if r.URL.Path == "/stalled" && err == nil {
			t.Error("all was written")
		}
	}, func(s *http.Server) { s.WriteTimeout = 200 * time.Millisecond })
	p := s.connect(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	p.must(p.WriteWindowUpdate(0, 1<<20))
	p.ask(1, true, ":path", "/stalled")
	p.ask(3, true)
	p.must(p.WriteWindowUpdate(3, 100<<10))
	_, by := p.answers(2)
	if n := len(by[3].body); n != 100<<10 {
		t.Errorf("%d bytes came on the other stream", n)
	}
	if by[1].reset != http2.ErrCodeInternal {
		t.Errorf("the stalled stream was ended by %v", by[1].reset)
	}
}

// TestAnEarlyAnswerReachesAClientThatStillSends has a client send on, as its windows allow.
func TestAnEarlyAnswerReachesAClientThatStillSends(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) })
	p := s.connect()
	p.ask(1, false, ":method", "POST")
	if a := p.answer(); a.status != "403" || a.reset != 0 {
		t.Fatalf("status %s, reset by %v", a.status, a.reset)
	}
	for range 64 { // a whole window of the connection
		p.must(p.WriteData(1, false, make([]byte, 16<<10)))
	}
	p.must(p.WriteData(1, true, nil))
	p.ask(3, true)
	if order, by := p.answers(1); order[0] != 3 || by[1] != nil {
		t.Errorf("streams that have ended: %v", order)
	}
}

func TestFieldsThatAreTooLargeEndTheirStreamAlone(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { <-release }, func(s *http.Server) { s.MaxHeaderBytes = 1 << 10 })
	p := s.connect()
	p.ask(1, true)
	half := strings.Repeat("x", 700)
	p.ask(3, true, "x-large", half, "x-larger", half)
	order, by := p.answers(1)
	if order[0] != 3 || by[3].status != "431" {
		t.Errorf("streams %v: %+v", order, by[order[0]])
	}
	close(release)
	if a := p.answer(); a.status != "200" {
		t.Errorf("status %s", a.status)
	}
}

func TestAClientThatLeavesEndsItsRequests(t *testing.T) {
	for _, c := range []struct {
		name  string
		leave func(*peer)
	}{
		{"resets the stream", func(p *peer) { p.must(p.WriteRSTStream(1, http2.ErrCodeCancel)) }},
		{"closes the connection", func(p *peer) { p.must(p.conn.Close()) }},
		{"breaks the protocol", func(p *peer) { p.must(p.WriteRSTStream(9, http2.ErrCodeCancel)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			begun, ended := make(chan struct{}), make(chan error)
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				close(begun)
				<-r.Context().Done()
				_, err := io.ReadAll(r.Body)
				ended <- err
			})
			p := s.connect()
			p.ask(1, false, ":method", "POST")
			<-begun
			c.leave(p)
			if err := <-ended; err == nil {
				t.Error("the body has ended as if it were whole")
			}
		})
	}
}

// TestAShutdownLosesNoRequest has one request under way, and one on its way, when the
// server is stopped.
func TestAShutdownLosesNoRequest(t *testing.T) {
	begun, release := make(chan struct{}, 2), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-release
	})
	p := s.connect()
	p.ask(1, true)
	<-begun
	stopped := make(chan error)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	if f := next[*http2.GoAwayFrame](p); f.LastStreamID != 1<<31-1 || f.ErrCode != http2.ErrCodeNo {
		t.Errorf("first: %v", f)
	}
	ping := next[*http2.PingFrame](p)
	p.ask(3, true)
	<-begun
	p.must(p.WritePing(true, ping.Data))
	if f := next[*http2.GoAwayFrame](p); f.LastStreamID != 3 || f.ErrCode != http2.ErrCodeNo {
		t.Errorf("second: %v", f)
	}
	close(release)
	p.answers(2)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestAnIdleConnectionIsLeft(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {}, func(s *http.Server) { s.IdleTimeout = 50 * time.Millisecond })
	p := s.connect()
	if f := next[*http2.GoAwayFrame](p); f.ErrCode != http2.ErrCodeNo {
		t.Error(f)
	}
	for { // until it is closed
		if _, err := p.ReadFrame(); err != nil {
			return
		}
	}
}

// TestWhoAsksForTooMuchIsCutOff has clients do without end what is allowed now and then,
// while another one is served.
func TestWhoAsksForTooMuchIsCutOff(t *testing.T) {
	for _, c := range []struct {
		name  string
		abuse wire.Abuse
		do    func(p *peer, n uint32) error
	}{
		{"rapid resets", wire.Resets, func(p *peer, n uint32) error {
			if err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 1, BlockFragment: p.block(), EndStream: true, EndHeaders: true}); err != nil {
				return err
			}
			return p.WriteRSTStream(2*n+1, http2.ErrCodeCancel)
		}},
		{"streams that the server has to reset", wire.Resets, func(p *peer, n uint32) error {
			if err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 1, BlockFragment: p.block(), EndHeaders: true}); err != nil {
				return err
			}
			return p.WriteWindowUpdate(2*n+1, 1<<31-1)
		}},
		{"malformed requests", wire.Resets, func(p *peer, n uint32) error {
			return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 1, BlockFragment: p.block("Upper", "x"), EndHeaders: true})
		}},
		{"pings", wire.Pings, func(p *peer, _ uint32) error { return p.WritePing(false, [8]byte{}) }},
		{"settings", wire.Settings, func(p *peer, _ uint32) error { return p.WriteSettings() }},
		{"priorities", wire.Idle, func(p *peer, _ uint32) error { return p.WritePriority(1, http2.PriorityParam{}) }},
		{"window updates", wire.Idle, func(p *peer, _ uint32) error { return p.WriteWindowUpdate(0, 1) }},
		{"unknown frames", wire.Idle, func(p *peer, _ uint32) error { return p.WriteRawFrame(0xbe, 0, 0, nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
			p, steady := s.connect(), s.connect()
			reading := make(chan struct{})
			go func() {
				defer close(reading)
				_, _ = io.Copy(io.Discard, p.conn)
			}()
			var abuse wire.Abuse
			for n := uint32(0); abuse == ""; n++ {
				if err := c.do(p, n); err != nil {
					abuse = <-s.abuses // it was closed
				}
				select {
				case abuse = <-s.abuses:
				default:
				}
			}
			if abuse != c.abuse {
				t.Errorf("cut off for %s", abuse)
			}
			<-reading // until it is closed
			steady.ask(1, true)
			if a := steady.answer(); a.status != "200" {
				t.Errorf("another client got %s", a.status)
			}
		})
	}
}

// TestWhatHonestClientsDoIsNoAbuse has a client read a large answer as it likes, and cancel
// now and then.
func TestWhatHonestClientsDoIsNoAbuse(t *testing.T) {
	const size = 1 << 20
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, size)) })
	p := s.connect()
	for id := uint32(1); id < 40; id += 2 {
		p.ask(id, true)
		for read := 0; read < size; {
			f := next[*http2.DataFrame](p)
			read += int(f.Length)
			if f.Length > 0 {
				p.must(p.WriteWindowUpdate(0, f.Length))
				p.must(p.WriteWindowUpdate(id, f.Length))
			}
		}
	}
	p.must(p.WritePing(false, [8]byte{1}))
	if f := next[*http2.PingFrame](p); f.Data != [8]byte{1} {
		t.Error(f)
	}
}

func TestBrokenProtocolIsAnswered(t *testing.T) {
	get := func(p *peer, fields ...string) { p.ask(1, true, fields...) }
	for _, c := range []struct {
		name       string
		do         func(*peer)
		connection http2.ErrCode // 0: the stream is reset by PROTOCOL_ERROR
	}{
		{"a field of HTTP/1.1", func(p *peer) { get(p, "connection", "close") }, 0},
		{"a name in upper case", func(p *peer) { get(p, "Upper", "x") }, 0},
		{"userinfo", func(p *peer) { get(p, ":authority", "me@app.example") }, 0},
		{"a relative path", func(p *peer) { get(p, ":path", "index.html") }, 0},
		{"another scheme", func(p *peer) { get(p, ":scheme", "ftp") }, 0},
		{"extended CONNECT that isn't offered", func(p *peer) {
			p.ask(1, false, ":method", "CONNECT", ":protocol", "websocket")
		}, 0},
		{"more than the declared body", func(p *peer) {
			p.ask(1, false, ":method", "POST", "content-length", "1")
			p.must(p.WriteData(1, true, []byte("two")))
		}, 0},
		{"an even stream", func(p *peer) { p.ask(2, true) }, http2.ErrCodeProtocol},
		{"a stream that was", func(p *peer) { p.ask(3, true); p.ask(1, true) }, http2.ErrCodeProtocol},
		{"data of no stream", func(p *peer) { p.must(p.WriteData(1, true, nil)) }, http2.ErrCodeProtocol},
		{"a frame that is too large", func(p *peer) {
			p.ask(1, false)
			p.must(p.WriteData(1, true, make([]byte, 16<<10+1)))
		}, http2.ErrCodeFrameSize},
		{"a window that is too large", func(p *peer) { p.must(p.WriteWindowUpdate(0, 1<<31-1)) }, http2.ErrCodeFlowControl},
		{"an acknowledgement of nothing", func(p *peer) { p.must(p.WriteSettingsAck()); p.must(p.WriteSettingsAck()) }, http2.ErrCodeProtocol},
		{"fields that can't be decoded", func(p *peer) {
			p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff}, EndStream: true, EndHeaders: true}))
		}, http2.ErrCodeCompression},
		{"a list of fields without end", func(p *peer) {
			p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block()}))
			// Until it is closed; the literal is of a name and a value of one byte.
			for p.WriteContinuation(1, false, bytes.Repeat([]byte{0, 1, 'x', 1, 'x'}, 3000)) == nil {
			}
		}, http2.ErrCodeProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, func(s *http.Server) { s.MaxHeaderBytes = 4 << 10 })
			p := s.connect()
			if c.connection == 0 {
				c.do(p)
				if f := next[*http2.RSTStreamFrame](p); f.ErrCode != http2.ErrCodeProtocol {
					t.Errorf("reset by %v", f.ErrCode)
				}
				return
			}
			go c.do(p)
			if f := next[*http2.GoAwayFrame](p); f.ErrCode != c.connection {
				t.Errorf("the connection has ended by %v", f.ErrCode)
			}
		})
	}
}
