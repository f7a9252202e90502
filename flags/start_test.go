package flags_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/flags"
	"github.com/exitgate/exitgate/policy"
)

// waiting is how long a change of the policy waits for flags in these tests.
const waiting = 5 * time.Second

// evaluated says how long a round took, and what is known of France after it.
func evaluated(t *testing.T, table *flags.Table, p *policy.Policy) (time.Duration, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waiting)
	defer cancel()
	before := time.Now()
	known := table.Evaluate(ctx, always(p))
	took := time.Since(before)
	value, ok := known["FR"].Values[e2ee]
	if !ok {
		return took, "nothing"
	}
	return took, value.String()
}

// settle waits until nothing more happens by itself, and takes the hint.
func settle(table *flags.Table) {
	synctest.Wait()
	select {
	case <-table.Hints():
	default:
	}
}

// A slow provider starts when it is let, and then answers like the one within.
type slow struct {
	*source
	start chan error // closed: it has started
	stop  func()     // nil: it ends at once
}

func (s slow) Init(openfeature.EvaluationContext) error { return <-s.start }

func (s slow) Shutdown() {
	if s.stop != nil {
		s.stop()
	}
}

// patient is a slow provider that doesn't start for longer than it may.
type patient struct{ slow }

func (p patient) InitWithContext(ctx context.Context, _ openfeature.EvaluationContext) error {
	select {
	case err := <-p.start:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p patient) ShutdownWithContext(context.Context) error { return nil }

func slowSource() slow {
	s := slow{source: newSource("slow"), start: make(chan error)}
	s.says(e2ee, "", value(true))
	return s
}

const kept = `{"FR":{"values":{"end-to-end-encryption":true}}}`

func TestAProviderThatNeverStartsHoldsNothingUpForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parse(t, "guarantees: {end-to-end-encryption: {require: true}}\n")
		provider := slowSource()
		table := open(t, flags.Options{Providers: []openfeature.FeatureProvider{provider}})
		defer close(provider.start)

		took, known := evaluated(t, table, p)
		if took != 3*time.Second || known != "nothing" {
			t.Errorf("the first round took %v and came to %s", took, known)
		}
		status := table.Status()
		if status.Answered || len(status.Rejected) != 1 || status.Rejected[0].Err.Error() != "provider not yet initialized" {
			t.Errorf("status: %+v", status)
		}
		if took, known = evaluated(t, table, p); took != 0 || known != "nothing" {
			t.Errorf("the next round took %v and came to %s", took, known)
		}
		before := time.Now()
		table.Close()
		if took := time.Since(before); took != 3*time.Second {
			t.Errorf("it took %v to close", took)
		}
	})
}

func TestWhileAProviderStartsTheLastGoodValueStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parse(t, "guarantees: {end-to-end-encryption: {require: true}}\n")
		provider := slowSource()
		table := open(t, flags.Options{Providers: []openfeature.FeatureProvider{provider}, Saved: []byte(kept)})
		defer close(provider.start)
		if took, known := evaluated(t, table, p); took != 3*time.Second || known != "true" {
			t.Errorf("the first round took %v and came to %s", took, known)
		}
		if !table.Status().Answered {
			t.Error("it was answered before the start")
		}
	})
}

func TestAProviderIsAskedOnceItHasStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parse(t, "guarantees: {end-to-end-encryption: {require: true}}\n")
		provider := slowSource()
		table := open(t, flags.Options{Providers: []openfeature.FeatureProvider{provider}})
		evaluated(t, table, p)
		settle(table)

		time.Sleep(time.Hour)
		close(provider.start)
		hinted(t, table)
		if took, known := evaluated(t, table, p); took != 0 || known != "true" {
			t.Errorf("the round took %v and came to %s", took, known)
		}
	})
}

// TestAProviderThatGivesUpStartingMayStillComeUp says that it is ready by an
// event.
func TestAProviderThatGivesUpStartingMayStillComeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parse(t, "guarantees: {end-to-end-encryption: {require: true}}\n")
		provider := patient{slowSource()}
		provider.says(e2ee, "", down)
		table := open(t, flags.Options{Providers: []openfeature.FeatureProvider{provider}})
		if took, known := evaluated(t, table, p); took != 3*time.Second || known != "nothing" {
			t.Errorf("the first round took %v and came to %s", took, known)
		}
		settle(table)
		provider.says(e2ee, "", value(true))
		provider.events <- openfeature.Event{EventType: openfeature.ProviderReady}
		hinted(t, table)
		if took, known := evaluated(t, table, p); took != 0 || known != "true" {
			t.Errorf("the round took %v and came to %s", took, known)
		}
	})
}

func TestAProviderThatFailsToStartIsAskedAllTheSame(t *testing.T) {
	for _, test := range []struct {
		name          string
		err           error
		known, reason string
	}{
		{"it may recover", errors.New("no route to host"), "true", ""},
		{"for good", &openfeature.ProviderInitError{ErrorCode: openfeature.ProviderFatalCode, Message: "the key is revoked"}, "nothing", "provider is in an irrecoverable error state"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := parse(t, "guarantees: {end-to-end-encryption: {require: true}}\n")
				provider := slowSource()
				table := open(t, flags.Options{Providers: []openfeature.FeatureProvider{provider}})
				go func() { provider.start <- test.err }()
				if took, known := evaluated(t, table, p); took != 0 || known != test.known {
					t.Errorf("the round took %v and came to %s", took, known)
				}
				var reasons []string
				for _, r := range table.Status().Rejected {
					reasons = append(reasons, r.Err.Error())
				}
				if got := strings.Join(reasons, ", "); got != test.reason {
					t.Errorf("refused: %s", got)
				}
			})
		})
	}
}

// A hanging provider answers when it is let.
type hanging struct {
	*source
	answer chan struct{}
}

func (h hanging) BooleanEvaluation(ctx context.Context, flag string, def bool, c openfeature.FlattenedContext) openfeature.BoolResolutionDetail {
	<-h.answer
	return h.source.BooleanEvaluation(ctx, flag, def, c)
}

func TestAProviderThatHangsHoldsNothingUpForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parse(t, "guarantees: {end-to-end-encryption: {require: true}}\n")
		provider := hanging{newSource("hanging"), make(chan struct{})}
		provider.says(e2ee, "", value(true))
		provider.says(e2ee, "DE", value(false))
		var log strings.Builder
		table := open(t, flags.Options{Providers: []openfeature.FeatureProvider{provider}, Saved: []byte(kept), Logger: logger(&log)})

		for range 2 {
			if took, known := evaluated(t, table, p); took != waiting || known != "true" {
				t.Errorf("the round took %v and came to %s", took, known)
			}
		}
		if want := strings.Repeat("level=ERROR msg=\"a flag provider takes too long to answer; what was known stays until it does\"\n", 2); log.String() != want {
			t.Errorf("logged:\n%s", log.String())
		}
		settle(table)

		close(provider.answer)
		hinted(t, table)
		synctest.Wait()
		if _, breached := table.Known()["DE"].Breached[e2ee]; !breached {
			t.Error("what it says in the end is lost")
		}
	})
}
