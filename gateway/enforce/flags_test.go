package enforce

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
)

// A hangingProvider answers until it is to hang.
type hangingProvider struct {
	openfeature.NoopProvider
	hangs atomic.Bool
	asked func()        // while it hangs
	end   chan struct{} // of that
}

func (p *hangingProvider) Metadata() openfeature.Metadata {
	return openfeature.Metadata{Name: "hanging"}
}

func (p *hangingProvider) BooleanEvaluation(_ context.Context, _ string, _ bool, _ openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	if p.hangs.Load() {
		p.asked()
		<-p.end
	}
	return openfeature.BoolResolutionDetail{Value: true, ProviderResolutionDetail: openfeature.ProviderResolutionDetail{Reason: openfeature.StaticReason}}
}

// Issue 10, E: a withdrawal doesn't wait for a flag provider that hangs, and what
// opens a market besides doesn't wait for long.
func TestAWithdrawalDoesNotWaitForFlags(t *testing.T) {
	const flagged = "version: 1\nguarantees: {end-to-end-encryption: {require: true}}\n"
	for name, test := range map[string]struct {
		policy      string
		whileAsking string
	}{
		"that only restricts": {flagged + "jurisdictions: {DE: withdrawn, FR: withdrawn}\n", "withdrawn"},
		"that opens besides":  {flagged + "jurisdictions: {FR: withdrawn}\n", "open"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				provider := &hangingProvider{end: make(chan struct{})}
				e := engineOn(t, &memory{}, time.Now, provider)
				defer e.o.Flags.Close()
				apply(t, e, flagged+"jurisdictions: {DE: withdrawn}\n")
				var gets atomic.Value
				provider.asked = func() { gets.CompareAndSwap(nil, phase(e, time.Now())) }
				provider.hangs.Store(true)
				before := time.Now()
				apply(t, e, test.policy)
				if took := time.Since(before); took != flagsAtChange {
					t.Errorf("it takes %v", took)
				}
				if got := gets.Load(); got != test.whileAsking {
					t.Errorf("while the provider is asked, France is %v", got)
				}
				if got := phase(e, time.Now()); got != "withdrawn" {
					t.Errorf("then it is %s", got)
				}
				close(provider.end)
				synctest.Wait()
			})
		})
	}
}
