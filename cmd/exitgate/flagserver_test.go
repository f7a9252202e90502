package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/internal/testkit"
)

// Messages of OFREP (open-feature/protocol, service/openapi.yaml), as the flag
// server of these tests sends them.
type (
	flagAnswer struct {
		Key          string         `json:"key,omitempty"`
		Value        any            `json:"value,omitempty"`
		Reason       string         `json:"reason,omitempty"`
		Variant      string         `json:"variant,omitempty"`
		Metadata     map[string]any `json:"metadata,omitempty"`
		ErrorCode    string         `json:"errorCode,omitempty"`
		ErrorDetails string         `json:"errorDetails,omitempty"`
	}
	flagAnswers struct {
		Flags        []flagAnswer     `json:"flags"`
		EventStreams []map[string]any `json:"eventStreams,omitempty"`
		Metadata     map[string]any   `json:"metadata,omitempty"`
	}
)

// TestTheFlagServerOfTheTestsSpeaksOFREP holds its messages against OFREP's own
// examples.
func TestTheFlagServerOfTheTestsSpeaksOFREP(t *testing.T) {
	const examples = "../../flags/ofrep/client/testdata"
	for name, message := range map[string]any{
		"single.json":              new(flagAnswer),
		"single-explicit.json":     new(flagAnswer),
		"single-code-default.json": new(flagAnswer),
		"bulk.json":                new(flagAnswers),
		"bulk-event-streams.json":  new(flagAnswers),
	} {
		text, err := os.ReadFile(filepath.Join(examples, name))
		if err != nil {
			t.Fatal(err)
		}
		strictly := json.NewDecoder(bytes.NewReader(text))
		strictly.DisallowUnknownFields()
		if err := strictly.Decode(message); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		again, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		var want, got any
		if err := cmp.Or(json.Unmarshal(text, &want), json.Unmarshal(again, &got)); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s comes out otherwise (-want +got)\n%s", name, diff)
		}
	}
}

// A flagServer is a flag server that speaks OFREP, and fails as it is told.
type flagServer struct {
	*httptest.Server
	address string

	mu     sync.Mutex
	values map[string]map[string]any  // by flag, then by jurisdiction; "" is any other
	token  string                     // that it wants, "" for none
	fails  http.HandlerFunc           // instead of an answer
	before func(about map[string]any) // is called with each context that is asked for
}

// newFlagServer makes a server that isn't started yet, with values as of
// flagServer.
func newFlagServer(t *testing.T, values map[string]map[string]any) *flagServer {
	t.Helper()
	s := &flagServer{address: fmt.Sprint("127.0.0.1:", testkit.FreePort(t)), values: values}
	t.Cleanup(s.stop)
	return s
}

// start starts the server, or starts it again.
func (s *flagServer) start(t *testing.T) {
	t.Helper()
	// A process that is being started has the old listener until it runs.
	var l net.Listener
	testkit.Eventually(t, "the flag server has its address again", func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", s.address)
		if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
		return err == nil
	})
	s.Server = httptest.NewUnstartedServer(s)
	s.Listener.Close()
	s.Listener = l
	s.Start()
}

// startTLS starts the server with TLS, and returns the file of its authority.
func (s *flagServer) startTLS(t *testing.T) (authority string) {
	t.Helper()
	s.Server = httptest.NewTLSServer(s) // whose certificate is for no other address
	s.address = s.Listener.Addr().String()
	authority = filepath.Join(t.TempDir(), "authority.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return authority
}

// stop ends the server at once, whatever is under way.
func (s *flagServer) stop() {
	if s.Server == nil {
		return
	}
	s.fail(nil)
	s.CloseClientConnections()
	s.Close()
	s.Server = nil
}

// set sets a flag in a jurisdiction, "" for all others.
func (s *flagServer) set(flag, jurisdiction string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := maps.Clone(s.values[flag])
	of[jurisdiction] = value
	s.values = maps.Clone(s.values)
	s.values[flag] = of
}

// fail makes the server fail, and answer again with nil.
func (s *flagServer) fail(how http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = how
}

// watch has a function called before each answer, nil for none.
func (s *flagServer) watch(before func(about map[string]any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

// roundBegins is the targeting key that the gateway asks about first in each
// round, and with nothing else at the same time.
const roundBegins = "unlocated"

// round waits until the gateway has asked for everything once more, and has all
// the answers.
func (s *flagServer) round(t *testing.T) {
	t.Helper()
	begun := make(chan struct{}, 2)
	s.watch(func(about map[string]any) {
		if about["targetingKey"] == roundBegins {
			select {
			case begun <- struct{}{}:
			default:
			}
		}
	})
	defer s.watch(nil)
	for range 2 {
		select {
		case <-begun:
		case <-time.After(patience):
			t.Fatal("the gateway doesn't ask for flags")
		}
	}
}

func (s *flagServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Context map[string]any `json:"context"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		reply(w, http.StatusBadRequest, flagAnswer{ErrorCode: "PARSE_ERROR", ErrorDetails: err.Error()})
		return
	}
	s.mu.Lock()
	fails, before, token := s.fails, s.before, s.token
	s.mu.Unlock()
	if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if before != nil {
		before(request.Context)
	}
	if fails != nil {
		fails(w, r)
		return
	}

	s.mu.Lock()
	values := s.values
	s.mu.Unlock()
	jurisdiction, _ := request.Context["jurisdiction"].(string)
	name, single := strings.CutPrefix(r.URL.Path, "/ofrep/v1/evaluate/flags/")
	if single {
		if values[name] == nil {
			reply(w, http.StatusNotFound, flagAnswer{Key: name, ErrorCode: "FLAG_NOT_FOUND"})
			return
		}
		reply(w, http.StatusOK, valueOf(name, values[name], jurisdiction))
		return
	}
	all := flagAnswers{Flags: []flagAnswer{}}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		all.Flags = append(all.Flags, valueOf(name, values[name], jurisdiction))
	}
	body, _ := json.Marshal(all)
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(body))
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	reply(w, http.StatusOK, all)
}

func valueOf(name string, values map[string]any, jurisdiction string) flagAnswer {
	value, special := values[jurisdiction]
	if !special {
		return flagAnswer{Key: name, Value: values[""], Reason: "STATIC"}
	}
	return flagAnswer{Key: name, Value: value, Reason: "TARGETING_MATCH"}
}

func reply(w http.ResponseWriter, status int, message any) {
	body, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
