package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/notify"
	"github.com/exitgate/exitgate/internal/testkit"
)

// A disk keeps what is written.
type disk struct {
	mu   sync.Mutex
	text []byte
}

func (d *disk) read() ([]byte, error) { d.mu.Lock(); defer d.mu.Unlock(); return d.text, nil }
func (d *disk) write(text []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text = slices.Clone(text)
	return nil
}

// A receiver notes what it is told, and answers as is wanted.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []notify.Event
	header []http.Header
	bodies []string
	answer func(attempt int) (status int, location string)
	tried  int
}

func newReceiver(t *testing.T, answer func(attempt int) (int, string)) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		text, _ := io.ReadAll(request.Body) // what is cut off isn't valid
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tried++
		status, location := r.answer(r.tried)
		if location != "" {
			w.Header().Set("Location", location)
		}
		if status < 300 {
			var e notify.Event
			if err := json.Unmarshal(text, &e); err != nil {
				t.Errorf("%v: %s", err, text)
			}
			r.got, r.header, r.bodies = append(r.got, e), append(r.header, request.Header), append(r.bodies, string(text))
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ids() (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.got {
		ids = append(ids, e.ID)
	}
	return ids
}

func event(t *testing.T, kind, id string) notify.Event {
	t.Helper()
	e, err := notify.NewEvent(kind, "/exitgate/test", id, "FR", time.Unix(1_800_000_000, 0), map[string]string{"summary": "FR open → withdrawn"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// start runs a Notifier for receivers until stop is called.
func start(t *testing.T, kept *disk, receivers ...notify.Receiver) (n *notify.Notifier, stop func()) {
	t.Helper()
	n, err := notify.New(notify.Options{Receivers: receivers, Read: kept.read, Write: kept.write, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Unix(1_800_000_001, 0) }, OnResult: func(string, error) {}, OnDropped: func(string) {}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { n.Run(ctx); close(ended) }()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	return n, stop
}

func always(status int) func(int) (int, string) { return func(int) (int, string) { return status, "" } }

func TestAReceiverIsToldInOrderAndSigned(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	testkit.WriteFile(t, secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
	r := newReceiver(t, always(204))
	n, _ := start(t, &disk{}, notify.Receiver{URL: r.URL + "/hook", SecretFile: secret, Timeout: time.Minute, Events: []string{notify.Applied, notify.Breach}})
	n.Add(3, event(t, notify.Applied, "record-2"), event(t, notify.Proposed, "record-3"))
	n.Add(0, event(t, notify.Breach, "breach-1"))
	testkit.Eventually(t, "both are told", func() bool { return slices.Equal(r.ids(), []string{"record-2", "breach-1"}) })
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.header[0]
	if h.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" || h.Get("Webhook-Id") != "record-2" || h.Get("Webhook-Timestamp") != "1800000001" {
		t.Errorf("the header is %v", h)
	}
	const body = `{"specversion":"1.0","id":"record-2","source":"/exitgate/test","type":"exitgate.applied","time":"2027-01-15T08:00:00Z","subject":"FR","datacontenttype":"application/json","data":{"summary":"FR open → withdrawn"}}`
	if r.bodies[0] != body {
		t.Errorf("the body is\n%s", r.bodies[0])
	}
	if want := "v1,LvB/6GalauM1dYoG49q792JpUKQ0WMw+iwnHU3BmMU8="; h.Get("Webhook-Signature") != want {
		t.Errorf("the signature is %s, want %s", h.Get("Webhook-Signature"), want)
	}
	if last := n.Begin(9); last != 3 {
		t.Errorf("the last record is %d", last)
	}
}

func TestWhatAReceiverDoesntTakeIsToldAgain(t *testing.T) {
	private := newReceiver(t, always(204))
	kept := &disk{}
	good := newReceiver(t, always(204))
	bad := newReceiver(t, func(attempt int) (int, string) {
		if attempt == 1 {
			return 302, private.URL
		}
		return 500, ""
	})
	receivers := []notify.Receiver{{URL: bad.URL, Timeout: time.Minute}, {URL: good.URL, Timeout: time.Minute}}
	n, stop := start(t, kept, receivers...)
	var all []notify.Event
	for i := range 1200 {
		all = append(all, event(t, notify.Applied, fmt.Sprint(i)))
	}
	n.Add(1200, all...)
	testkit.Eventually(t, "the other receiver is told all that there is room for", func() bool {
		return len(good.ids()) == 1000 && n.Pending()[receivers[1].Name()] == 0 // what isn't known to be told is told again
	})
	testkit.Eventually(t, "the redirect is answered", func() bool { bad.mu.Lock(); defer bad.mu.Unlock(); return bad.tried > 0 })
	if got := private.ids(); got != nil {
		t.Errorf("whom it points to is told %v", got)
	}
	stop()
	bad.mu.Lock()
	bad.answer = always(200)
	bad.mu.Unlock()
	n, _ = start(t, kept, receivers...)
	testkit.Eventually(t, "all that there was room for is told after a restart", func() bool { return len(bad.ids()) == 1000 })
	if ids := bad.ids(); ids[0] != "200" || ids[999] != "1199" || !slices.IsSortedFunc(ids, func(a, b string) int { return len(a) - len(b) }) {
		t.Errorf("from %s to %s", ids[0], ids[999])
	}
	if len(good.ids()) != 1000 {
		t.Error("the other one is told again")
	}
	testkit.Eventually(t, "nothing waits", func() bool { p := n.Pending(); return p[receivers[0].Name()] == 0 })
}

func TestAConditionIsToldOnceWhileItHolds(t *testing.T) {
	r, kept := newReceiver(t, always(200)), &disk{}
	receiver := notify.Receiver{URL: r.URL, Timeout: time.Minute}
	n, stop := start(t, kept, receiver)
	a, b := event(t, notify.Unenforced, "unenforced-US-MS"), event(t, notify.Overdue, "overdue-9")
	n.Conditions([]notify.Event{a})
	n.Conditions([]notify.Event{a, b})
	n.Conditions([]notify.Event{a, b})
	testkit.Eventually(t, "each is told", func() bool { return n.Pending()[receiver.Name()] == 0 })
	stop()
	n, _ = start(t, kept, receiver)
	n.Conditions([]notify.Event{b})
	n.Conditions([]notify.Event{a, b})
	testkit.Eventually(t, "what holds again is told again", func() bool { return slices.Equal(r.ids(), []string{a.ID, b.ID, a.ID}) })
}

func TestASecretThatIsNone(t *testing.T) {
	for _, text := range []string{"", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%"} {
		file := filepath.Join(t.TempDir(), "secret")
		testkit.WriteFile(t, file, text)
		if _, err := notify.ReadSecret(file); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
