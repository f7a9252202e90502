package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

func TestAWriteIsSentAgainWithItsKeyUntilItIsAnswered(t *testing.T) {
	const lose = 0 // in place of a status
	for _, test := range []struct {
		name    string
		answers []int
		want    string // of the error
		sent    int
	}{
		{"answered at once", []int{201}, "", 1},
		{"lost once", []int{lose, 201}, "", 2},
		{"not acknowledged, then lost, then done", []int{504, lose, 201}, "", 3},
		{"lost three times", []int{lose, lose, lose, 201}, "", 4},
		{"lost for good", []int{lose, lose, lose, lose}, "it isn't known whether it was done: look at exitgate log before you try again (the connection to the gateway at ADDRESS was lost (EOF))", 4},
		{"never acknowledged", []int{504, 504, 504, 504}, "it isn't known whether it was done: look at exitgate log before you try again (the ledger did not answer)", 4},
		{"refused", []int{409}, "the ledger did not answer", 1},
		{"refused after it was lost", []int{lose, 409}, "the ledger did not answer", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			var mu sync.Mutex
			keys := make(map[string]int)
			sent := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				keys[r.Header.Get("Idempotency-Key")]++
				status := test.answers[sent]
				sent++
				mu.Unlock()
				switch status {
				case lose:
					panic(http.ErrAbortHandler)
				case 201:
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(status)
					fmt.Fprint(w, "{}")
				default:
					w.Header().Set("Content-Type", "application/problem+json")
					w.WriteHeader(status)
					code := map[int]string{504: "not-acknowledged", 409: "conflict"}[status]
					fmt.Fprintf(w, `{"code": %q, "detail": "the ledger did not answer"}`, code)
				}
			}))
			defer server.Close()
			c := &client{http: server.Client(), base: server.URL, target: "ADDRESS", timeout: time.Minute, retryDelays: make([]time.Duration, 3)}
			_, err := c.write(t.Context(), http.MethodPost, "/v1/changes", ifRevision(41), api.Rejection{Because: "Test."})
			if got := fmt.Sprint(err); err != nil && got != test.want || err == nil && test.want != "" {
				t.Errorf("the error is %v, not %s", err, test.want)
			}
			mu.Lock()
			defer mu.Unlock()
			if sent != test.sent || len(keys) != 1 || keys[""] > 0 {
				t.Errorf("it was sent %d times with the keys %v", sent, keys)
			}
		})
	}
}

func TestAWriteThatNeverArrivedIsNotSentAgain(t *testing.T) {
	o := connection{data: t.TempDir()}
	c, err := o.open()
	if err != nil {
		t.Fatal(err)
	}
	c.retryDelays = []time.Duration{time.Hour}
	_, err = c.write(t.Context(), http.MethodPost, "/v1/changes", ifRevision(41), nil)
	if !isNotRunning(err) {
		t.Errorf("the error is %v", err)
	}
}

func TestAWriteThatIsInterruptedMayHaveBeenDone(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	}))
	defer server.Close()
	c := &client{http: server.Client(), base: server.URL, target: "ADDRESS", timeout: time.Minute, retryDelays: []time.Duration{time.Hour}}
	_, err := c.write(ctx, http.MethodPost, "/v1/changes", ifRevision(41), nil)
	const want = "it isn't known whether it was done: look at exitgate log before you try again (interrupted)"
	if err == nil || err.Error() != want {
		t.Errorf("the error is %v, not %s", err, want)
	}
}

func TestAnAnswerThatNeverComesIsNotWaitedFor(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	c := &client{http: server.Client(), base: server.URL, target: "ADDRESS", timeout: time.Millisecond}
	_, err := c.get(t.Context(), "/v1/status")
	if err == nil || err.Error() != "the gateway at ADDRESS did not answer in time" {
		t.Errorf("the error is %v", err)
	}
}

func TestAProblemEndsTheCommandByItsCode(t *testing.T) {
	want := map[string]int{
		"no-change":    exitDone,
		"wrong-policy": exitRefused, "conflict": exitRefused, "plan-changed": exitRefused, "ended": exitRefused,
		"territories-unsaid": exitUsage, "unknown-part-unsaid": exitUsage,
		"four-eyes": exitRefused, "forbidden": exitRefused,
		"invalid": exitRefused, "not-found": exitFailed, "key-reused": exitFailed, "unauthenticated": exitFailed,
		"too-many-failures": exitFailed, "cross-site": exitFailed, "busy": exitFailed, "not-acknowledged": exitFailed,
		"ledger-unavailable": exitFailed, "read-only": exitFailed, "internal": exitFailed, "something-new": exitFailed,
	}
	got := make(map[string]int)
	for code := range want {
		cmd := newStatus()
		cmd.SetOut(new(strings.Builder))
		err := commandError(cmd, false, fmt.Errorf("sent: %w", &api.Problem{Code: code, Detail: "no"}))
		var status *exitError
		if errors.As(err, &status) {
			got[code] = status.code
		} else {
			got[code] = exitDone
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestACertificateIsTrustedOrNot(t *testing.T) {
	server := httptest.NewTLSServer(&fakeGateway{})
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writePEM(t, ca, "CERTIFICATE", server.Certificate().Raw)

	for _, test := range []struct{ name, ca, want string }{
		{"signed by who was named", ca, ""},
		{"signed by nobody that is known", "", "the certificate of " + server.URL + " is not to be trusted (" + x509.UnknownAuthorityError{}.Error() + "): name who signed it with --ca"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := connection{api: server.URL, ca: test.ca}
			c, err := o.open()
			if err != nil {
				t.Fatal(err)
			}
			if _, err = c.get(t.Context(), "/v1/status"); err == nil && test.want != "" || err != nil && err.Error() != test.want {
				t.Errorf("the error is %v, not %s", err, test.want)
			}
		})
	}
}

func TestACertificateOfOnesOwnIsShown(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "%d", len(r.TLS.PeerCertificates))
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	folder := t.TempDir()
	ca, key := filepath.Join(folder, "ca.pem"), filepath.Join(folder, "key.pem")
	writePEM(t, ca, "CERTIFICATE", server.Certificate().Raw)
	private, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, key, "PRIVATE KEY", private)
	o := connection{api: server.URL, ca: ca, cert: ca, key: key}
	c, err := o.open()
	if err != nil {
		t.Fatal(err)
	}
	if shown, err := decode[int](c.get(t.Context(), "/")); err != nil || shown != 1 {
		t.Errorf("%d certificates were shown (%v)", shown, err)
	}
}

func writePEM(t *testing.T, file, kind string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestASocketThatCantBeOpenedIsToldOf(t *testing.T) {
	for _, test := range []struct {
		name    string
		make    func(t *testing.T, folder string)
		want    string
		isThere bool
	}{
		{name: "nobody has made it", make: func(*testing.T, string) {}, want: "no gateway is running here"},
		{name: "whoever made it was killed", make: leaveSocket, want: "the gateway isn't running any more"},
		{name: "it is another's", make: func(t *testing.T, folder string) {
			if os.Geteuid() == 0 {
				t.Skip("root may open it")
			}
			leaveSocket(t, folder)
			if err := os.Chmod(filepath.Join(folder, "admin.sock"), 0); err != nil {
				t.Fatal(err)
			}
		}, want: "you may not open the gateway's socket", isThere: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder, err := os.MkdirTemp("", "exg") // a socket's path must be short
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(folder)
			test.make(t, folder)
			o := connection{data: folder}
			c, err := o.open()
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.get(t.Context(), "/v1/status")
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || !strings.Contains(err.Error(), folder) || isNotRunning(err) == test.isThere {
				t.Errorf("the error is %v, not %s", err, test.want)
			}
		})
	}
}

// leaveSocket leaves a socket behind that nobody listens at.
func leaveSocket(t *testing.T, folder string) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(folder, "admin.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

// TestWhatIsShownFits draws what is shown of a gateway whose names and texts
// are long.
func TestWhatIsShownFits(t *testing.T) {
	s := usualStatus
	long := strings.Repeat("a very long reason that somebody gave ", 5)
	s.Host, s.Checks = "gateway-1.eu-central-1.internal.example.org", map[string]api.Check{"geo /var/lib/GeoIP/GeoLite2-City.mmdb": {Detail: long}}
	s.Markets = nil
	for _, m := range usualStatus.Markets {
		m.Name = "The United Kingdom of " + m.Name + " and all of Northern Ireland"
		m.Hour.Forwarded, m.Hour.Refused = 123456789, 9999999
		if m.Phase == policy.Withdrawn {
			m.Phase = policy.ClosedToNew
		}
		s.Markets = append(s.Markets, m)
	}
	change := usualChange
	change.Because, change.Summary, change.Authors = long, long, []string{"somebody.with.a.long.name@example.org", "another"}
	revision := usualRevision
	revision.Because, revision.Summary, revision.Authors = long, long, change.Authors
	s.Pending = append(s.Pending, change)
	s.InForce = &revision
	s.Ledger = &api.Ledger{Why: long}
	var records []api.Record
	for _, r := range usualLog.Records {
		r.Author, r.Because, r.Summary = change.Authors[0], long, long
		records = append(records, r)
	}
	plan := usualPlan
	for _, width := range []int{60, 80, 120} {
		for name, show := range map[string]func(printer){
			"status":  func(out printer) { statusText{s}.write(out) },
			"log":     func(out printer) { printRecords(out, records) },
			"changes": func(out printer) { printChanges(out, api.Changes{Changes: []changes.Change{change, rejectedChange}}) },
			"plan":    func(out printer) { planView{Plan: plan}.brief(out) },
		} {
			t.Run(fmt.Sprintf("%s in %d columns", name, width), func(t *testing.T) {
				var shown strings.Builder
				show(printer{Writer: &shown, width: width})
				for line := range strings.Lines(shown.String()) {
					if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
						t.Errorf("%d characters: %s", n, line)
					}
				}
			})
		}
	}
}

func TestATerminalIsNotToldToDoAnything(t *testing.T) {
	for text, want := range map[string]string{
		"plain":               "plain",
		"two\nlines":          "two lines",
		"\x1b[2Jgone":         "\ufffd[2Jgone",
		"a\tb\r":              "a b",
		"right\u202eto left":  "right\ufffdto left",
		"bell\a \x9b31m":      "bell\ufffd \ufffd31m",
		"déjà vu, 日本語 and 🇫🇷": "déjà vu, 日本語 and 🇫🇷",
	} {
		if got := sanitise(text); got != want {
			t.Errorf("%q becomes %q, not %q", text, got, want)
		}
	}
}

func TestAWatchedStatusIsShownAgainWhenSomethingHappens(t *testing.T) {
	server := httptest.NewServer(&fakeGateway{})
	defer server.Close()
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, time.Now, []string{"status", "--watch", "--api", server.URL}, nil, writer, io.Discard)
		writer.Close()
	}()
	for range 2 { // the fake gateway tells of one event
		readThrough(t, reader, "Its last record is 43.\n")
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	stop()
	if code := <-done; code != exitDone {
		t.Errorf("watching ended with %d", code)
	}
}

// readThrough reads up to the text end.
func readThrough(t *testing.T, r io.Reader, end string) {
	t.Helper()
	var text strings.Builder
	for !strings.HasSuffix(text.String(), end) {
		var one [1]byte
		if _, err := r.Read(one[:]); err != nil {
			t.Fatalf("%v after:\n%s", err, text.String())
		}
		text.Write(one[:])
	}
}
