package purge_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/exitgate/exitgate/gateway/purge"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// snapshot compiles the jurisdictions of a policy.
func snapshot(t *testing.T, jurisdictions string) *policy.Snapshot {
	t.Helper()
	p, err := document.Parse("policy.yaml", []byte("version: 1\nroutes: {sign-up: [/signup]}\njurisdictions: {"+jurisdictions+"}"))
	if err != nil {
		t.Fatal(err)
	}
	return policy.Compile(p, nil, time.Now())
}

// caches are purged by a Purger; and what that keeps.
type caches struct {
	*purge.Purger
	log testkit.Buffer

	mu     sync.Mutex
	kept   []byte
	orders []string // the jurisdictions of each
	do     func(n int) error
}

// run runs a Purger until the test stops it, with what was kept before.
func (c *caches) run(t *testing.T) (stop func()) {
	c.Purger = purge.New(purge.Options{
		Do: func(ctx context.Context, o purge.Order) error {
			c.mu.Lock()
			c.orders = append(c.orders, o.Jurisdictions())
			n, do := len(c.orders), c.do
			c.mu.Unlock()
			if do != nil {
				return do(n)
			}
			return nil
		},
		Read: func() ([]byte, error) { return c.kept, nil },
		Write: func(text []byte) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.kept = text
			return nil
		},
		OnResult: func(purge.Order, error) {}, Settle: time.Millisecond, Log: slog.New(slog.NewTextHandler(&c.log, nil)), Now: time.Now,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

// await waits until the caches were purged so: for each at once, and again when what
// was under way has settled.
func (c *caches) await(t *testing.T, want ...string) {
	t.Helper()
	var twice []string
	for _, order := range want {
		twice = append(twice, order, order)
	}
	testkit.Eventually(t, "the caches are purged for "+strings.Join(want, ", "), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return slices.Equal(c.orders, twice)
	})
}

// follow has a snapshot in use, and waits until it is kept what the caches were
// purged for.
func (c *caches) follow(t *testing.T, jurisdictions string) {
	t.Helper()
	s := snapshot(t, jurisdictions)
	c.Follow(s)
	c.awaitKept(t, s)
}

func (c *caches) awaitKept(t *testing.T, s *policy.Snapshot) {
	t.Helper()
	testkit.Eventually(t, "it is kept what they were purged for", func() bool {
		var kept struct{ Purged []policy.Refusal }
		c.mu.Lock()
		defer c.mu.Unlock()
		return json.Unmarshal(c.kept, &kept) == nil && slices.Equal(kept.Purged, s.Refusals())
	})
}

func TestPurger(t *testing.T) {
	c := &caches{}
	c.run(t)
	for _, step := range []struct {
		jurisdictions string
		want          []string // in all so far
	}{
		{"DE: announced", nil},
		{"FR: withdrawn", []string{"FR"}},
		{"FR: withdrawn, DE: announced", []string{"FR"}},                        // nothing more is refused
		{"FR: withdrawn, DE: closed-to-new", []string{"FR", "DE"}},              // more
		{"FR: wind-down, DE: withdrawn", []string{"FR", "DE", "DE"}},            // more in one, less in the other
		{"DE: withdrawn", []string{"FR", "DE", "DE"}},                           // opened
		{"DE: withdrawn, FR: withdrawn", []string{"FR", "DE", "DE", "FR"}},      // and refused again
		{"anonymous: withdrawn", []string{"FR", "DE", "DE", "FR", "anonymous"}}, // of whom it is refused
	} {
		c.follow(t, step.jurisdictions)
		c.await(t, step.want...)
	}
	c.follow(t, "default: withdrawn, anonymous: withdrawn, FR: open")
	if last := c.orders[len(c.orders)-1]; strings.Contains(last, "FR") || !strings.HasPrefix(last, "AD AE AF ") || !strings.HasSuffix(last, " private unlocated") {
		t.Errorf("purged for %s", last)
	}
}

// A request of another class than before may be refused where it wasn't.
func TestPurger_changedRoutes(t *testing.T) {
	c := &caches{}
	c.run(t)
	for _, routes := range []string{"news: [/news/]", "news: [/news/]\n  # so be it", "news: [/news/, /weather/]"} {
		p, err := document.Parse("policy.yaml", []byte("version: 1\nroutes:\n  "+routes+"\njurisdictions: {FR: {features: {news: withdrawn}}}"))
		if err != nil {
			t.Fatal(err)
		}
		s := policy.Compile(p, nil, time.Now())
		c.Follow(s)
		c.awaitKept(t, s)
	}
	c.await(t, "FR", "FR")
}

// Of what was opened and refused again while it wasn't looked, the caches are
// purged again.
func TestPurger_openedMeanwhile(t *testing.T) {
	second, proceed := make(chan struct{}), make(chan struct{})
	c := &caches{}
	c.do = func(n int) error {
		if n == 2 { // which settles it
			close(second)
			<-proceed
		}
		return nil
	}
	c.run(t)
	c.Follow(snapshot(t, "FR: withdrawn"))
	<-second
	c.Follow(snapshot(t, "FR: open"))
	c.Follow(snapshot(t, "FR: withdrawn"))
	close(proceed)
	c.await(t, "FR", "FR")
}

func TestPurger_thatFails(t *testing.T) {
	c := &caches{}
	failed := make(chan struct{})
	c.do = func(n int) error {
		if n == 1 {
			<-failed
		}
		if n < 3 {
			return errors.New("no such cache")
		}
		return nil
	}
	stop := c.run(t)
	c.Follow(snapshot(t, "FR: withdrawn"))
	testkit.Eventually(t, "it is pending", func() bool { return c.Status().Pending != nil })
	close(failed)
	testkit.Eventually(t, "it fails", func() bool { return c.Status().Err != nil })
	if s := c.Status(); s.Pending == nil || s.Pending[0].Jurisdiction != "FR" || s.Since.IsZero() {
		t.Errorf("the status is %+v", s)
	}
	testkit.Eventually(t, "it succeeds", func() bool { return c.Status().Err == nil && c.Status().Pending == nil })
	stop()
	if n := len(c.log.Lines("level=ERROR", "no such cache", "FR")); n != 2 {
		t.Errorf("the log has %d failures:\n%s", n, c.log.String())
	}
}

// What was purged is known at the next start, and what wasn't is purged then.
func TestPurger_afterAStart(t *testing.T) {
	c := &caches{}
	stop := c.run(t)
	c.follow(t, "FR: withdrawn")
	stop()
	stop = c.run(t)
	c.follow(t, "FR: withdrawn, IT: withdrawn")
	stop()
	c.await(t, "FR", "IT")

	c.do = func(int) error { return errors.New("no") }
	stop = c.run(t)
	c.Follow(snapshot(t, "FR: withdrawn, IT: withdrawn, ES: withdrawn"))
	testkit.Eventually(t, "it fails", func() bool { return c.Status().Err != nil })
	stop()

	c.do, c.orders = nil, nil
	c.run(t)
	c.follow(t, "FR: withdrawn, IT: withdrawn, ES: withdrawn")
	c.await(t, "ES")
}

// An answer that was begun before may be stored after a purge.
func TestPurger_answersUnderWay(t *testing.T) {
	c := &caches{}
	c.run(t)
	end := c.Begin()
	s := snapshot(t, "FR: withdrawn")
	c.Follow(s)
	testkit.Eventually(t, "the caches are purged at once", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.orders) == 1
	})
	defer c.Begin()() // nobody may store this one
	end()
	c.awaitKept(t, s)
	c.await(t, "FR")
}
