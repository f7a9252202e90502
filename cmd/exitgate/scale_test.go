//go:build integration

package main

import (
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
)

var scale = flag.Int("scale", 0, "how many revisions TestWhatALongLedgerCosts begins with; 0 skips it")

// TestWhatALongLedgerCosts measures how long a start takes, and how much memory,
// and how long it takes to apply a policy of 250 jurisdictions. It is run by
//
//	go test ./cmd/exitgate -run TestWhatALongLedgerCosts -v -scale 10000
func TestWhatALongLedgerCosts(t *testing.T) {
	if *scale == 0 {
		t.Skip("takes long: give -scale")
	}
	const rounds = 2
	filed := newLedgerGateway(t)
	filed.revise(strings.TrimPrefix(wide(0, toggled), "version: 1\n"))
	filed.source = ""
	measured(t, "with a policy file", rounds, func() *ledgerGateway { return filed })

	measured(t, "with a ledger that begins", rounds, func() *ledgerGateway { return newLedgerGateway(t) })

	m := newLedgerGateway(t)
	writeRevisions(t, m.data("ledger"), *scale)
	what := fmt.Sprintf("with %d revisions", *scale)
	measured(t, what+" and no ledger.json", rounds, func() *ledgerGateway {
		m.loses("ledger.json")
		return m
	})
	measured(t, what, rounds, func() *ledgerGateway { return m })

	m.restart()
	if revision := m.status().Revision; int(revision) != *scale {
		t.Fatalf("revision %d is in force", revision)
	}
	m.expectVerified(*scale)
	if got := m.gets("FR"); got != http.StatusOK {
		t.Errorf("France gets %d", got)
	}
	var api, command []time.Duration
	places := allPlaces()
	for i := range 50 {
		document := wide(2*i+1, places)
		plan, err := m.plan(document)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := m.propose(document, fmt.Sprint("edition ", i), plan); err != nil {
			t.Fatal(err)
		}
		api = append(api, time.Since(began))

		m.write("wide.yaml", wide(2*i+2, places))
		began = time.Now()
		m.mustRun("apply", m.file("wide.yaml"), "--because", fmt.Sprint("edition ", i))
		command = append(command, time.Since(began))
	}
	report(t, fmt.Sprintf("POST /v1/changes with %d jurisdictions", len(places)), api)
	report(t, fmt.Sprintf("exitgate apply with %d jurisdictions", len(places)), command)
	t.Logf("then it holds %d MB, and has held %d MB at most", m.memory("VmRSS")>>20, m.memory("VmHWM")>>20)
}

// measured starts a gateway a few times, and says how long that took and how
// much memory.
func measured(t *testing.T, what string, rounds int, next func() *ledgerGateway) {
	t.Helper()
	var starts []time.Duration
	var resident, peak []int
	for range rounds {
		m := next()
		began := time.Now()
		m.restart()
		starts = append(starts, time.Since(began))
		m.gets("DE")
		time.Sleep(17 * time.Second) // so that it has come to rest: it gives back after 15 s what the start has needed
		resident, peak = append(resident, m.memory("VmRSS")), append(peak, m.memory("VmHWM"))
		m.stop()
	}
	report(t, "a start "+what, starts)
	slices.Sort(resident)
	slices.Sort(peak)
	t.Logf("a gateway %s holds %d MB at the median, and at most %d MB", what, resident[rounds/2]>>20, peak[rounds-1]>>20)
}

func report(t *testing.T, what string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	t.Logf("%s: %v at the median of %d, %v at most", what, took[len(took)/2].Round(100*time.Microsecond), len(took), took[len(took)-1].Round(100*time.Microsecond))
}

// memory is how many bytes the gateway holds, or has held at most.
func (g *ledgerGateway) memory(name string) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(status), name+":")
	kilobytes := 0
	_, _ = fmt.Sscan(rest, &kilobytes) // elsewhere nothing is said
	return kilobytes << 10
}

// allPlaces are 250 places, with all countries among them.
func allPlaces() (places []policy.Code) {
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			if code := policy.Code([]rune{a, b}); policy.IsPlace(code) {
				places = append(places, code)
			}
		}
	}
	for _, state := range strings.Fields("AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA") {
		if len(places) < 250 {
			places = append(places, policy.Code("US-"+state))
		}
	}
	return places
}

// wide is a policy that withdraws from some places on the nth day of 2040.
func wide(n int, places []policy.Code) string {
	var b strings.Builder
	b.WriteString("version: 1\njurisdictions:\n")
	for _, code := range places {
		fmt.Fprintf(&b, "  \"%s\":\n    schedule:\n      - {from: 2026-01-01T00:00:00Z, phase: announced}\n      - {from: %s, phase: withdrawn}\n",
			code, firstDay.AddDate(0, 0, n).Format(time.RFC3339))
	}
	return b.String()
}

// writeRevisions fills a ledger with revisions, as a gateway does.
func writeRevisions(t *testing.T, folder string, count int) {
	t.Helper()
	began := time.Now()
	l, err := ledger.Open(t.Context(), ledger.Options{Folder: folder, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	parse := func(source []byte) (*policy.Policy, error) { return document.Parse("policy", source) }
	state := changes.New(changes.Parsers{Proposed: parse, Recorded: parse})
	by := changes.Actor{Name: "ada", Roles: []changes.Role{changes.Operator}}
	entry := changes.FirstRevision([]byte("version: 1\n"))
	last := ledger.Point{}
	for i := range count {
		if i > 0 {
			p := changes.Proposal{Policy: []byte(wide(i, toggled)), Because: "edition", Expected: state.Revision().Number, Backdated: true}
			planned, err := state.Plan(p, nil, began)
			if err == nil {
				p.Plan = planned.Plan.Hash
				entry, err = state.Propose(by, p, nil, began)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		r, err := l.Append(t.Context(), last, ledger.Content{Kind: string(entry.Kind), Author: entry.Author, Reason: entry.Reason, Body: entry.Body})
		if err == nil {
			state, err = state.With(changes.Record{Number: r.Number, Time: r.Time, Draft: entry})
		}
		if err != nil {
			t.Fatal(err)
		}
		last = r.Point()
	}
	t.Logf("%d revisions of %d bytes were written in %v", count, len(entry.Body), time.Since(began).Round(time.Second))
}
