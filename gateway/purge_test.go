package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/testkit"
)

// A purgeServer is what the operator's caches are purged by.
type purgeServer struct {
	*httptest.Server
	mu     sync.Mutex
	orders []string // the jurisdictions of each
	auth   string   // as it came last
	status int
}

func newPurgeServer(t *testing.T) *purgeServer {
	s := &purgeServer{status: http.StatusNoContent}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			Version int
			Time    time.Time
			Markets []struct {
				Jurisdiction string
				Classes      []string
			}
		}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &order); err != nil || order.Version != 1 || order.Time.IsZero() || r.Method != "POST" {
			t.Errorf("%s %s: %v", r.Method, body, err)
		}
		var codes []string
		for _, m := range order.Markets {
			if !slices.Contains(m.Classes, "other") {
				t.Errorf("%s is purged for %v", m.Jurisdiction, m.Classes)
			}
			codes = append(codes, m.Jurisdiction)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.orders, s.auth = append(s.orders, strings.Join(codes, " ")), r.Header.Get("Authorization")
		w.WriteHeader(s.status)
		io.WriteString(w, "what the cache says")
	}))
	t.Cleanup(s.Close)
	return s
}

// await waits until the caches were purged so, each time at once and again.
func (s *purgeServer) await(t *testing.T, each ...string) {
	t.Helper()
	var want []string
	for _, order := range each {
		want = append(want, order, order)
	}
	testkit.Eventually(t, "the caches are purged for "+strings.Join(want, ", "), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Equal(s.orders, want)
	})
}

func (s *purgeServer) answer(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// Issue 10, C13: whatever makes a market more restricted has the caches purged.
func TestCachesArePurgedWhateverRestricts(t *testing.T) {
	s, source := newPurgeServer(t), newFlagSource()
	token := filepath.Join(t.TempDir(), "token")
	testkit.WriteFile(t, token, "secret\n")
	g := start(t, setup{
		policy: promising + "jurisdictions: {IT: withdrawn}\n",
		flags:  source,
		configure: func(c *config.Config) {
			c.Caches.Purge.URL, c.Caches.Purge.TokenFile = s.URL+"/purge", token
		},
	})
	s.await(t, "IT") // at the start
	step := time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)
	testkit.ReplaceFile(t, g.policy, promising+"jurisdictions: {IT: withdrawn, ES: {schedule: [{from: "+step+", phase: withdrawn}]}}\n")
	s.await(t, "IT", "ES") // by the step
	if s.auth != "Bearer secret" {
		t.Errorf("it came with %q", s.auth)
	}
	source.set(func(s *flagSource) { s.below["FR"] = true })
	s.await(t, "IT", "ES", "FR") // a breach
	testkit.ReplaceFile(t, g.policy, promising+"jurisdictions: {IT: withdrawn, ES: withdrawn, PT: withdrawn, GR: announced}\n")
	s.await(t, "IT", "ES", "FR", "PT") // the file
	testkit.Eventually(t, "they are counted", func() bool { return g.metric(`exitgate_cache_purges_total{result="success"}`) == 8 })
	if g.metric("exitgate_cache_purge_pending") != 0 {
		t.Error("one is pending")
	}

	s.answer(http.StatusServiceUnavailable)
	testkit.ReplaceFile(t, g.policy, promising+"jurisdictions: {IT: withdrawn, ES: withdrawn, PT: withdrawn, GR: withdrawn}\n")
	testkit.Eventually(t, "it is said that they can't be", func() bool {
		_, checks := g.ready()
		c := checks["caches"]
		return !c.OK && strings.Contains(c.Detail, "503 Service Unavailable: what the cache says") && strings.Contains(c.Detail, "GR") && c.Since != nil
	})
	if a := g.request(g.client(1), "/", "94.64.0.1"); a.status == 0 || g.metric("exitgate_cache_purge_pending") != 1 || g.metric(`exitgate_cache_purges_total{result="failure"}`) == 0 {
		t.Error("it doesn't show")
	}
	s.answer(http.StatusOK)
	testkit.Eventually(t, "they are, in the end", func() bool {
		_, checks := g.ready()
		_, there := checks["caches"]
		return !there && g.metric("exitgate_cache_purge_pending") == 0
	})
	if strings.Contains(g.log.String(), "secret") {
		t.Error("the log has the token")
	}
}

// A hook that hangs delays no decision.
func TestAHookThatHangsDelaysNothing(t *testing.T) {
	folder := t.TempDir()
	fifo := filepath.Join(folder, "started")
	g := start(t, setup{policy: "version: 1\n", configure: func(c *config.Config) {
		c.Caches.Purge.Command = []string{"/bin/sh", "-c", "cat > " + fifo + "; echo \"$EXITGATE_JURISDICTIONS\" >> " + fifo + "; exec sleep 600"}
		c.Caches.Purge.Timeout = time.Minute
	}})
	for i, market := range []string{"FR", "DE"} {
		testkit.ReplaceFile(t, g.policy, "version: 1\njurisdictions: {"+[]string{"FR: withdrawn", "FR: withdrawn, DE: withdrawn"}[i]+"}\n")
		testkit.Eventually(t, market+" is refused", func() bool {
			return g.request(g.client(1), "/", map[string]string{"FR": france, "DE": germany}[market]).status == 451
		})
		if i == 0 {
			testkit.Eventually(t, "the hook runs", func() bool {
				text, _ := os.ReadFile(fifo)
				return strings.HasSuffix(string(text), "}]}FR\n") && strings.HasPrefix(string(text), `{"version":1,`)
			})
		}
	}
}
