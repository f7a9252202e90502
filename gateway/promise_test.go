package gateway_test

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/internal/testkit"
)

// A flagSource is a provider of the flag end-to-end-encryption, which is true
// but for the jurisdictions that it is told.
type flagSource struct {
	openfeature.NoopProvider // evaluates the other types

	mu     sync.Mutex
	below  map[string]bool
	down   bool
	hangs  chan struct{} // until it is closed, nothing is answered
	events chan openfeature.Event
}

func newFlagSource() *flagSource {
	return &flagSource{below: map[string]bool{}, events: make(chan openfeature.Event, 10)}
}

func (s *flagSource) Metadata() openfeature.Metadata         { return openfeature.Metadata{Name: "scripted"} }
func (s *flagSource) EventChannel() <-chan openfeature.Event { return s.events }

func (s *flagSource) BooleanEvaluation(_ context.Context, flag string, def bool, c openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hangs != nil {
		hangs := s.hangs
		s.mu.Unlock()
		<-hangs
		s.mu.Lock()
	}
	d := openfeature.BoolResolutionDetail{Value: def}
	jurisdiction, _ := c["jurisdiction"].(string)
	switch {
	case s.down:
		d.ResolutionError = openfeature.NewGeneralResolutionError("the source is down")
	case flag != "end-to-end-encryption":
		d.ResolutionError = openfeature.NewFlagNotFoundResolutionError("there is no such flag")
	default:
		d.Value, d.Reason = !s.below[jurisdiction], openfeature.TargetingMatchReason
	}
	return d
}

func (s *flagSource) StringEvaluation(_ context.Context, _ string, def string, _ openfeature.FlattenedContext) openfeature.StringResolutionDetail {
	return openfeature.StringResolutionDetail{Value: def, ProviderResolutionDetail: openfeature.ProviderResolutionDetail{
		ResolutionError: openfeature.NewFlagNotFoundResolutionError("there is no such flag"),
	}}
}

// set changes what the source answers, and says so.
func (s *flagSource) set(change func(*flagSource)) {
	s.mu.Lock()
	change(s)
	s.mu.Unlock()
	s.events <- openfeature.Event{ProviderName: "scripted", EventType: openfeature.ProviderConfigChange}
}

// promising is a policy with a guarantee.
const promising = `version: 1
guarantees: {end-to-end-encryption: {require: true, statement: Private messages are end-to-end encrypted.}}
`

// breached starts a gate at which the flag has been below its guarantee in a
// jurisdiction, and no longer is.
func breached(t *testing.T, s setup, jurisdiction, client string) (*gate, *flagSource) {
	source := newFlagSource()
	s.flags = source
	g := start(t, s)
	c := g.client(2)
	testkit.Eventually(t, "it is served", func() bool { return g.request(c, "/", client).status == http.StatusOK })
	source.set(func(s *flagSource) { s.below[jurisdiction] = true })
	testkit.Eventually(t, "it is withheld", func() bool { return g.request(c, "/", client).status == http.StatusUnavailableForLegalReasons })
	source.set(func(s *flagSource) { s.below[jurisdiction] = false })
	return g, source
}

func TestABreachOutlivesThatItsSubdivisionIsToldApart(t *testing.T) {
	g, _ := breached(t, setup{policy: promising + "jurisdictions: {US-MS: announced}\n"}, "US-MS", mississippi)
	testkit.WriteFile(t, g.policy, promising+"jurisdictions: {DE: announced}\n")
	c := g.client(2)
	testkit.Eventually(t, "the policy is applied", func() bool { return g.samples()["exitgate_policy_revision"] == 2 })
	if got := g.request(c, "/", mississippi).status; got != http.StatusUnavailableForLegalReasons {
		t.Errorf("Mississippi gets %d after the policy has stopped to tell it apart", got)
	}
	if got := g.request(c, "/", california).status; got != http.StatusOK {
		t.Errorf("California gets %d", got)
	}
}

func TestAProviderThatFailsChangesNothing(t *testing.T) {
	g, source := breached(t, setup{policy: promising}, "FR", france)
	source.set(func(s *flagSource) { s.down = true })
	testkit.Eventually(t, "the failure is seen", func() bool { return g.samples()["exitgate_flags_not_accepted"] > 200 })
	c := g.client(2)
	got := g.request(c, "/", germany)
	asked := g.app.asked()
	if told := asked[len(asked)-1].header.Get("Market-Flags"); got.status != http.StatusOK || told != "end-to-end-encryption" {
		t.Errorf("Germany gets %d, the app %q", got.status, told)
	}
	if got := g.request(c, "/", france).status; got != http.StatusUnavailableForLegalReasons {
		t.Errorf("France gets %d", got)
	}
	status, ready := g.admin("/readyz")
	if status != http.StatusOK || !strings.Contains(ready, "the source is down") {
		t.Errorf("readyz: %d %s", status, ready)
	}
}

func TestNothingIsServedBeforeAGuaranteedFlagIsKnown(t *testing.T) {
	source := newFlagSource()
	source.down = true
	g := start(t, setup{policy: promising, flags: source})
	c := g.client(2)
	if got := g.request(c, "/", germany); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("Germany gets %d %v", got.status, maps.Clone(got.header))
	}
	if status, _ := g.admin("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d", status)
	}
	source.set(func(s *flagSource) { s.down = false })
	testkit.Eventually(t, "it is served", func() bool { return g.request(c, "/", germany).status == http.StatusOK })
	if status, _ := g.admin("/readyz"); status != http.StatusOK {
		t.Errorf("readyz: %d", status)
	}
}

func TestAProviderThatHangsHoldsNoPolicyUp(t *testing.T) {
	source := newFlagSource()
	g := start(t, setup{policy: promising, flags: source})
	c := g.client(2)
	testkit.Eventually(t, "it is served", func() bool { return g.request(c, "/", germany).status == http.StatusOK })
	hangs := make(chan struct{})
	source.set(func(s *flagSource) { s.hangs = hangs })
	testkit.WriteFile(t, g.policy, promising+"jurisdictions: {DE: withdrawn}\n")
	testkit.Eventually(t, "Germany is withdrawn", func() bool { return g.request(c, "/", germany).status == http.StatusUnavailableForLegalReasons })
	if got := g.request(c, "/", france).status; got != http.StatusOK {
		t.Errorf("France gets %d", got)
	}
	source.mu.Lock()
	source.hangs, source.below["FR"] = nil, true
	source.mu.Unlock()
	close(hangs)
	testkit.Eventually(t, "what was missed is seen", func() bool { return g.request(c, "/", france).status == http.StatusUnavailableForLegalReasons })
}
