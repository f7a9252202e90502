// Package acmetest runs Pebble, the ACME server that Let's Encrypt makes for
// tests, with a DNS server of its own.
package acmetest

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// Options are what a Server is started with.
type Options struct {
	HTTPPort, TLSPort int               // where names are validated
	Validity          uint64            // of certificates, in seconds; 0: Pebble's default
	EAB               map[string]string // keys of external accounts; if there are any, one is required
}

// A Server is Pebble. Every name that it validates is at 127.0.0.1.
type Server struct {
	Directory string // URL
	Roots     string // PEM file of who signed its own certificate

	server *httptest.Server
	mu     sync.Mutex
	txt    map[string][]string
	hold   func(*http.Request) // called before each request
}

// noSleep has Pebble validate at once; else it waits for seconds, at random.
var noSleep = sync.OnceFunc(func() { _ = os.Setenv("PEBBLE_VA_NOSLEEP", "1") })

// Start starts a Server, which runs until the test ends.
func Start(t *testing.T, o Options) *Server {
	t.Helper()
	noSleep()
	s := &Server{txt: make(map[string][]string)}
	resolver := s.startDNS(t)
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	for id, key := range o.EAB {
		if err := store.AddExternalAccountKeyByID(id, key); err != nil {
			t.Fatal(err)
		}
	}
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: o.Validity}})
	front := wfe.New(quiet, store, va.New(quiet, o.HTTPPort, o.TLSPort, false, resolver, store), issuer, []string{"pebble.letsencrypt.org"}, false, len(o.EAB) > 0, 1, 1)
	handler := front.Handler()
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		hold := s.hold
		s.mu.Unlock()
		if hold != nil {
			hold(r)
		}
		handler.ServeHTTP(w, r)
	}))
	s.server.Config.ErrorLog = quiet
	s.server.StartTLS()
	t.Cleanup(s.Stop)
	s.Directory = s.server.URL + wfe.DirectoryPath
	s.Roots = filepath.Join(t.TempDir(), "pebble.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
	if err := os.WriteFile(s.Roots, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// Stop stops the server.
func (s *Server) Stop() { s.server.Close() }

// Hold has a function called before each request is answered.
func (s *Server) Hold(f func(*http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = f
}

// SetTXT sets the TXT records of a name, without a final dot.
func (s *Server) SetTXT(name string, values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.txt[dns.Fqdn(name)] = values
}

// startDNS starts a DNS server, which Pebble asks over TCP.
func (s *Server) startDNS(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(s.resolve), NotifyStartedFunc: func() { close(started) }}
	go func() { _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })
	return l.Addr().String()
}

func (s *Server) resolve(w dns.ResponseWriter, query *dns.Msg) {
	answer := new(dns.Msg).SetReply(query)
	for _, q := range query.Question {
		header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET}
		switch q.Qtype {
		case dns.TypeA:
			answer.Answer = append(answer.Answer, &dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)})
		case dns.TypeTXT:
			s.mu.Lock()
			for _, value := range s.txt[q.Name] {
				answer.Answer = append(answer.Answer, &dns.TXT{Hdr: header, Txt: []string{value}})
			}
			s.mu.Unlock()
		}
	}
	_ = w.WriteMsg(answer)
}
