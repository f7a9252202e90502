//go:build integration

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
)

// TestHowFastAChangeSpreads measures from the moment at which a change is sent
// to the API of one gateway until each gateway decides by it. It is run by
//
//	go test ./cmd/exitgate -run TestHowFastAChangeSpreads -v -spread 200 -gateways 20
//
// All processes share the processors of one machine: what twenty gateways on
// twenty machines need is nearer to the figures of one.
func TestHowFastAChangeSpreads(t *testing.T) {
	if *spread == 0 {
		t.Skip("takes long: give -spread")
	}
	f := &fleet{t: t, direct: true} // no lines, which would take their time
	f.start(*gateways)
	arrivals := make(chan arrival, *gateways)
	ctx, stop := context.WithCancel(t.Context())
	var listening sync.WaitGroup
	defer listening.Wait()
	defer stop()
	for _, g := range f.gateways {
		events := g.follows(ctx)
		listening.Go(func() {
			for e := range events {
				told := time.Now()
				n, err := g.sunset(ctx)
				arrivals <- arrival{e.Revision, told, time.Now(), n, err}
			}
		})
	}
	var acknowledged, told, decided, last []time.Duration
	for n := 2; n < 2+*spread; n++ {
		g := f.gateways[n%*gateways]
		plan, err := g.plan(edition(n))
		if err != nil {
			t.Fatal(err)
		}
		sent := time.Now()
		change, err := g.propose(edition(n), fmt.Sprint("edition ", n), plan)
		if err != nil {
			t.Fatal(err)
		}
		acknowledged = append(acknowledged, time.Since(sent))
		slowest := time.Duration(0)
		for range *gateways {
			a := <-arrivals
			if a.err != nil || a.edition != n || a.revision != change.InForce.Number {
				t.Fatalf("after revision %d somebody decides by %+v", change.InForce.Number, a)
			}
			told = append(told, a.told.Sub(sent))
			decided = append(decided, a.decided.Sub(sent))
			slowest = max(slowest, a.decided.Sub(sent))
		}
		last = append(last, slowest)
	}
	for _, row := range []struct {
		what string
		took []time.Duration
	}{
		{"until it is acknowledged", acknowledged},
		{"until a gateway has said that it decides by it", told},
		{"until a client of a gateway was answered by it", decided},
		{"until clients of all gateways were", last},
	} {
		slices.Sort(row.took)
		at := func(q float64) time.Duration {
			return row.took[int(q*float64(len(row.took)-1))].Round(100 * time.Microsecond)
		}
		t.Logf("%s: p50 %v, p99 %v, at most %v", row.what, at(0.5), at(0.99), at(1))
	}
}

var (
	spread   = flag.Int("spread", 0, "measure by so `many` changes how fast they spread")
	gateways = flag.Int("gateways", 20, "to so `many` gateways")
)

// An arrival is that a gateway has a revision.
type arrival struct {
	revision      uint64
	told, decided time.Time
	edition       int
	err           error
}

// follows returns the revisions that a gateway tells of, until the context ends.
func (g *ledgerGateway) follows(ctx context.Context) <-chan api.Event {
	g.t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://exitgate/v1/events", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	res, err := g.api.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		g.t.Fatal(g.name, res, err)
	}
	events := make(chan api.Event)
	go func() {
		defer close(events)
		defer res.Body.Close()
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			data, found := strings.CutPrefix(lines.Text(), "data: ")
			var e api.Event
			if !found || json.Unmarshal([]byte(data), &e) != nil || e.Type != "revision" {
				continue
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events
}
