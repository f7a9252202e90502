package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/gateway/notify"
	"github.com/exitgate/exitgate/internal/testkit"
)

func TestTheSettingsNameAllEvents(t *testing.T) {
	if !slices.Equal(config.NotifyEvents, notify.Kinds) {
		t.Errorf("%q, and there are %q", config.NotifyEvents, notify.Kinds)
	}
}

// Issue 13: whoever has to know is told of what is in the log, once, in order, and nothing
// of what may not be disclosed.
func TestReceiversAreToldWhatHappens(t *testing.T) {
	var mu sync.Mutex
	var told []string
	down := true
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body) // what is cut off isn't valid
		mu.Lock()
		defer mu.Unlock()
		if down {
			down = false // the first is sent again
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var e struct {
			Type string
			Data struct{ Summary, Because string }
		}
		if err := json.Unmarshal(text, &e); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		told = append(told, strings.TrimPrefix(e.Type, notify.TypePrefix)+": "+e.Data.Summary)
		if strings.Contains(string(text), "gb-order") || strings.Contains(string(text), "192.0.2.") {
			t.Errorf("it is told %s", text)
		}
	}))
	defer hook.Close()
	clock := testkit.NewClock(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC))
	data := t.TempDir()
	g := start(t, setup{now: clock.Now, configure: func(c *config.Config) {
		c.Data, c.Notify = data, []config.Notify{{URL: hook.URL}}
	}})
	tells := func(want ...string) {
		t.Helper()
		defer func() {
			if t.Failed() {
				t.Logf("it is told %q", told)
			}
		}()
		testkit.Eventually(t, fmt.Sprint("it is told ", want), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Equal(told, want)
		})
	}
	testkit.Eventually(t, "the receiver is known", func() bool {
		return g.metric(`exitgate_notifications_pending{receiver="`+strings.TrimPrefix(hook.URL, "http://")+`"}`) == 0
	})
	g.proposes(`"policy": "version: 1\napprovals: {withdraw: 1}\n"`)
	g.proposes(`"set": {"jurisdiction": "DE", "phase": "withdrawn"}, "emergency": true`)
	g.proposes(`"set": {"jurisdiction": "US-MS", "phase": "withdrawn"}`)
	want := []string{
		"applied: approvals withdraw: 0 → 1", "emergency: DE open → withdrawn", "proposed: proposes US-MS open → withdrawn",
	}
	tells(want...)
	clock.Set(clock.Now().Add(63 * time.Hour))
	g.proposes(`"set": {"jurisdiction": "ES", "phase": "withdrawn"}`)
	want = append(want, "proposed: proposes ES open → withdrawn", "expiring: US-MS open → withdrawn", "overdue: DE open → withdrawn")
	tells(want...)
	g.proposes(`"policy": "version: 1\napprovals: {withdraw: 1}\njurisdictions: {DE: withdrawn}\nguarantees: {e2ee: {require: true}}\ndemands: {gb-order: {jurisdiction: GB, territories: none, stage: proposed, disclose: false, requires: {e2ee: false}}}\n"`)
	tells(append(want, "applied: (not disclosed to you: it takes the role counsel)")...)
}
