package main

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
)

// TestTheFirstRequestAfterAMarketIsWithdrawnIsRefused measures, too, how long
// that takes.
func TestTheFirstRequestAfterAMarketIsWithdrawnIsRefused(t *testing.T) {
	m := alone(t)
	m.start()
	rounds := 50
	if testing.Short() {
		rounds = 5
	}
	var commands, refusals []time.Duration
	for i := range rounds {
		if status := m.gets("FR"); status != http.StatusOK {
			t.Fatalf("before, France gets %d", status)
		}
		began := time.Now()
		m.commands("set", "FR", "withdrawn", "--because", "It is the law.")
		returned := time.Now()
		first := m.gets("FR")
		refusals, commands = append(refusals, time.Since(returned)), append(commands, returned.Sub(began))
		if first != http.StatusUnavailableForLegalReasons {
			t.Fatalf("the first request after it gets %d", first)
		}
		m.sets("FR", policy.Open, fmt.Sprint("It isn't any more, ", i))
	}
	for what, took := range map[string][]time.Duration{
		"the command":                          commands,
		"from its return to the first refusal": refusals,
	} {
		slices.Sort(took)
		t.Logf("%s: %v at the median of %d, %v at most", what, took[len(took)/2], len(took), took[len(took)-1])
	}
}
