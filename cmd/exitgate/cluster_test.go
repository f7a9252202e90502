//go:build integration

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/evidence"
	"github.com/exitgate/exitgate/gateway/ledger"
	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy/changes"
)

func TestOfChangesAtTheSameTimeOneWinsAndAllGatewaysSeeTheSameOrder(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 5)
	const rounds = 6
	f.whileObserved(func() {
		for round := range rounds {
			before := f.waitConverged()
			attempt := (*ledgerGateway).proposesAt
			if round%2 == 1 {
				attempt = (*ledgerGateway).commandsAt
			}
			endings := make([]attemptResult, len(f.gateways))
			var running sync.WaitGroup
			for i, g := range f.gateways {
				running.Go(func() { endings[i] = attempt(g, before[len(before)-1].Number, 2+10*round+i) })
			}
			running.Wait()
			history := f.waitConverged()
			made := history[len(before):]
			if len(made) != 1 {
				t.Fatalf("of five at the same time %d were made: %+v", len(made), made)
			}
			for i, v := range endings {
				switch {
				case fmt.Sprint("edition ", 2+10*round+i) == made[0].Because:
					if v.code != exitDone || v.number != made[0].Number {
						t.Errorf("%s is record %d, and was told %+v", made[0].Because, made[0].Number, v)
					}
				case v.code != exitRefused:
					t.Errorf("%s came too late, and was told %+v", f.gateways[i].name, v)
				default:
					f.gateways[i].says("what the conflict is", v.words, fmt.Sprint("revision ", made[0].Number), made[0].Author, made[0].Because)
				}
			}
		}
	})
	for _, g := range f.gateways {
		if v := g.verification(); !v.OK || v.Records != 2+rounds { // the first policy, and the first edition
			t.Errorf("%s: %+v", g.name, v)
		}
	}
}

// An attemptResult is what somebody is told who attempts a change.
type attemptResult struct {
	code   int // as the command has it
	number uint64
	words  string
}

// proposesAt attempts an edition that follows from a revision, by the API.
func (g *ledgerGateway) proposesAt(revision uint64, n int) attemptResult {
	plan, err := g.plan(edition(n))
	plan.Revision = revision
	var change api.Change
	if err == nil {
		change, err = g.propose(edition(n), fmt.Sprint("edition ", n), plan)
	}
	var problem *api.Problem
	switch {
	case err == nil:
		return attemptResult{exitDone, change.InForce.Number, ""}
	case errors.As(err, &problem) && problem.Status == http.StatusConflict && problem.Code == string(changes.Conflict) && problem.Winner != nil:
		return attemptResult{exitRefused, 0, fmt.Sprint(problem, problem.Winner.Authors, problem.Winner.Because)}
	}
	return attemptResult{exitFailed, 0, err.Error()}
}

// commandsAt attempts it by the command.
func (g *ledgerGateway) commandsAt(revision uint64, n int) attemptResult {
	file := fmt.Sprintf("edition-%d.yaml", n)
	g.write(file, edition(n))
	s := g.runCommand("apply", g.file(file), "--because", fmt.Sprint("edition ", n), "--expect", fmt.Sprint(revision), "--json")
	var change api.Change
	if s.code == exitDone && json.Unmarshal([]byte(s.out), &change) == nil && change.InForce != nil {
		return attemptResult{s.code, change.InForce.Number, ""}
	}
	return attemptResult{s.code, 0, s.text()}
}

func TestNoDecisionStopsAndNoChangeIsLostWhileNodesAre(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 5)
	f.whileObserved(func() {
		s := f.startWriter()
		s.waitWritten(3)
		for _, fault := range []struct {
			what string
			of   func() *ledgertest.Node
			is   func(*ledgertest.Node)
			ends func(*ledgertest.Node)
		}{
			{"a node is killed", f.follower, (*ledgertest.Node).Kill, (*ledgertest.Node).Start},
			{"the leader is killed", f.leader, (*ledgertest.Node).Kill, (*ledgertest.Node).Start},
			{"a node is frozen", f.follower, (*ledgertest.Node).Freeze, (*ledgertest.Node).Resume},
			{"the leader is frozen", f.leader, (*ledgertest.Node).Freeze, (*ledgertest.Node).Resume},
		} {
			n, began := fault.of(), time.Now()
			fault.is(n)
			s.waitWritten(len(f.gateways))
			t.Logf("%s: changes went on after %v", fault.what, time.Since(began))
			fault.ends(n)
			f.nats.AwaitInSync(stream)
		}
		s.expectAllWritten()
	})
}

func TestAGatewayThatIsCutOffGoesOnAndComesBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 5)
	others, far := f.gateways[:3], f.gateways[3:]
	f.whileObserved(func() {
		f.cutOff(far[0])
		f.silence(far[1])
		for _, g := range far {
			g.waitConnected(false)
		}
		// What is attempted there fails, while the others go on.
		attempts := make([]attemptResult, len(far))
		var attempting sync.WaitGroup
		attempting.Go(func() { attempts[0] = far[0].proposesAt(2, 100) })
		attempting.Go(func() { attempts[1] = far[1].commandsAt(2, 101) })
		for n := 2; n < 6; n++ {
			others[n%len(others)].apply(edition(n), fmt.Sprint("edition ", n))
			f.waitAgreed(others...)
		}
		attempting.Wait()
		for i, g := range far {
			if v := attempts[i]; v.code != exitFailed || !strings.Contains(v.words, "nothing was changed") {
				t.Errorf("%s: what came of a change is %+v", g.name, v)
			}
			g.expectEdition(1)
			if s := g.status(); !s.Ready || s.Revision != 2 || s.Checks["ledger"].OK || s.Ledger.Why == "" {
				t.Errorf("%s: the status is %+v, %+v", g.name, s.Checks["ledger"], s.Ledger)
			}
			if r := g.getAdmin("/readyz"); r.status != http.StatusOK {
				t.Errorf("%s isn't ready: %s", g.name, r.body)
			}
		}
		// What came in between, and is over, is not gone by any more.
		applied := func(g *ledgerGateway) int { return len(g.log.Lines("policy applied")) }
		before := make(map[*ledgerGateway]int)
		for _, g := range far {
			before[g] = applied(g)
			f.mend(g)
		}
		for _, g := range far {
			g.waitConnected(true)
		}
		f.waitConverged()
		for _, g := range far {
			if n := applied(g) - before[g]; n != 1 {
				t.Errorf("%s: %d policies were applied on the way back", g.name, n)
			}
		}
		far[0].apply(edition(6), "edition 6")
	})
}

func TestAScheduledTransitionComesOnAllGatewaysWhileAllOfNATSIsDown(t *testing.T) {
	t.Parallel()
	before := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	exit := before.Add(time.Hour)
	f := newTimedFleet(t, 5, before)
	f.gateways[1].apply(fmt.Sprintf(`version: 1
jurisdictions:
  FR:
    schedule:
      - {from: %s, phase: announced}
      - {from: %s, phase: withdrawn}
`, before.Add(-time.Hour).Format(time.RFC3339), exit.Format(time.RFC3339)), "an exit")
	f.waitConverged()
	f.stopNATS()
	f.each(func(g *ledgerGateway) { g.waitConnected(false) })
	everywhere := func(what, country string, want int) {
		t.Helper()
		for _, g := range f.gateways {
			if got := g.gets(country); got != want {
				t.Errorf("%s: %s gives %d in %s, want %d", what, g.name, got, country, want)
			}
		}
	}
	everywhere("before", "FR", http.StatusOK)
	f.setClock(exit.Add(-time.Second))
	everywhere("a second before", "FR", http.StatusOK)
	f.setClock(exit)
	everywhere("at the moment", "FR", http.StatusUnavailableForLegalReasons)
	everywhere("at the moment", "DE", http.StatusOK)
	f.startNATS()
	f.waitConverged()
	everywhere("afterwards", "FR", http.StatusUnavailableForLegalReasons)
	f.gateways[2].apply(edition(2), "edition 2") // and then they can be changed again
	f.waitConverged()
	everywhere("by another policy", "FR", http.StatusOK)
}

func TestAGatewayThatIsStartedWhileNATSIsDownServesWhatItLastKnew(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 5)
	f.gateways[0].apply(edition(2), "edition 2")
	f.waitConverged()
	f.stopNATS()
	f.each(func(g *ledgerGateway) { g.kill() })
	f.each(func(g *ledgerGateway) {
		if !g.run() {
			t.Errorf("%s didn't start:\n%s", g.name, g.log)
		}
	})
	for _, g := range f.gateways {
		g.stopsWithTheTest()
		g.waitConnected(false)
		g.expectEdition(2)
		if s := g.status(); !s.Ready || s.Revision != 3 || s.Source != "nats" {
			t.Errorf("%s: the status is %+v", g.name, s)
		}
	}

	// One that has never known a policy serves nothing, and says why.
	f.grow(1)
	stranger := f.gateways[5]
	r := stranger.request("DE", "GET /")
	if r.status != http.StatusServiceUnavailable {
		t.Errorf("a gateway that knows no policy gives %d", r.status)
	}
	ready := stranger.getAdmin("/readyz")
	if ready.status != http.StatusServiceUnavailable {
		t.Errorf("a gateway that knows no policy is ready: %s", ready.body)
	}
	if len(stranger.log.Lines("no revision is known", "ERROR")) != 1 {
		t.Error("it doesn't say why")
	}
	if s := stranger.status(); s.Ready || s.Checks["ledger"].OK {
		t.Errorf("its status is %+v", s)
	}
	for _, path := range []string{"policy", "revisions", "log", "jurisdictions", "changes", "principals"} {
		var problem *api.Problem
		if err := stranger.ask("GET", "/v1/"+path, nil, nil); !errors.As(err, &problem) || problem.Code != "ledger-unavailable" {
			t.Errorf("it says of its %s: %v", path, err)
		}
	}

	// One node of three knows nothing for certain.
	f.nats.Nodes[0].Start()
	for _, g := range f.gateways {
		testkit.Eventually(t, g.name+" has found the node", func() bool { return len(g.log.Lines("ledger connected")) > 0 })
		g.waitConnected(false)
		if r := g.getAdmin("/readyz"); (r.status == http.StatusOK) != (g != stranger) {
			t.Errorf("%s with one node of three: %s", g.name, r.body)
		}
	}

	f.nats.Nodes[1].Start()
	f.nats.Nodes[2].Start()
	f.waitConverged()
	for _, g := range f.gateways {
		g.becomesReady()
		g.expectEdition(2)
	}
}

func TestAPlanCountsTheRequestsOfAllGateways(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 5)
	served, refused := 0, 0
	for i, g := range f.gateways {
		for range 2 + i {
			g.gets("FR")
			served++
		}
		g.gets("IT")
		g.gets("DE")
		refused++
	}
	const swap = "version: 1\njurisdictions: {FR: withdrawn}\n" // and Italy is open
	for _, g := range f.gateways {
		plan, err := g.plan(swap)
		if err != nil {
			t.Fatal(err)
		}
		if h := plan.Hit; h == nil || h.Gateways != 5 || int(h.Hour.Refused) != served || int(h.Hour.Served) != refused || h.Hour.Requests != uint64(served+2*refused) || h.Day.Refused != h.Hour.Refused {
			t.Errorf("%s: the plan would have hit %+v; there were %d requests that it refuses, and %d that it serves", g.name, h, served, refused)
		}
	}
	// Evidence counts them, too, and is the same whoever makes it.
	var says []evidence.Statement
	for _, g := range f.gateways[:2] {
		file := readEvidence(t, []byte(g.mustRun("evidence", "FR").out))
		want := []evidence.Count{{Jurisdiction: "FR", Class: "other", Served: uint64(served)}}
		if c := file.Made.Counts; c == nil || c.Gateways != 5 || !slices.Equal(c.Requests, want) {
			t.Errorf("%s: it counts %+v, want %+v", g.name, c, want)
		}
		says = append(says, file.Says)
	}
	if !reflect.DeepEqual(says[0], says[1]) {
		t.Errorf("two gateways say %+v", says)
	}
	// All of them see what they refuse.
	f.gateways[1].mustRun("set", "FR", "withdrawn", "--territories", "none", "--because", "It is law.", "--wait")
	var seen api.Probes
	if err := json.Unmarshal([]byte(f.gateways[0].mustRun("probe", "FR", "--json").out), &seen); err != nil || len(seen.Gateways) != 5 {
		t.Fatalf("%v: %+v", err, seen)
	}
	for _, g := range seen.Gateways {
		refused := slices.ContainsFunc(g.Seen, func(p api.Probe) bool { return p.Class == "other" && p.Refused && p.Wanted })
		if g.Revision != seen.Gateways[0].Revision || !refused || len(g.Unseen) != 0 {
			t.Errorf("a gateway has seen %+v", g)
		}
	}
	// Of a gateway that nobody reaches nothing is known.
	f.cutOff(f.gateways[4])
	f.gateways[4].waitConnected(false)
	for i, want := range map[int]int{0: 4, 4: 1} {
		plan, err := f.gateways[i].plan(swap)
		if err != nil || plan.Hit.Gateways != want {
			t.Errorf("%s counts %d gateways (%v), want %d", f.gateways[i].name, plan.Hit.Gateways, err, want)
		}
	}
}

// publish puts something into the ledger past exitgate.
func (f *fleet) publish(data []byte) uint64 {
	f.t.Helper()
	js := f.nats.Connect()
	defer js.Conn().Close()
	m := &nats.Msg{Subject: "exitgate.ledger", Data: data, Header: nats.Header{}}
	if r, err := ledger.Decode(data); err == nil {
		m.Header.Set(nats.MsgIdHdr, r.Hash.String())
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	ack, err := js.PublishMsg(ctx, m)
	if err != nil {
		f.t.Fatal(err)
	}
	return ack.Sequence
}

// record reads a record of the ledger past exitgate.
func (f *fleet) record(number uint64) ledger.Record {
	f.t.Helper()
	js := f.nats.Connect()
	defer js.Conn().Close()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		f.t.Fatal(err)
	}
	m, err := s.GetMsg(ctx, number)
	if err != nil {
		f.t.Fatal(err)
	}
	r, err := ledger.Decode(m.Data)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func TestWhatIsForgedInTheLedgerIsRefusedByAllGatewaysAndTheLastGoodRevisionStays(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 5)
	// A record that says that it comes after another.
	after := func(last ledger.Record, previous ledger.Hash, body string) []byte {
		text, err := ledger.Record{
			Number: last.Number + 1, Previous: previous, Time: time.Now().UTC(),
			Content: ledger.Content{Kind: "revision", Author: "eve", Reason: "I can", Body: []byte(body)},
		}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	// A revision that says that it follows from another.
	revision := func(base uint64, policy string) string {
		return fmt.Sprintf(`{"base":%d,"authors":["eve"],"summary":"all is well"}`, base) + "\n" + policy
	}
	const wanted = "version: 1\njurisdictions: {IT: open}\n"
	forgeries := map[uint64]string{} // what is said of each
	for i, forgery := range []struct {
		name    string
		forge   func(last ledger.Record) []byte
		chained bool // it follows from the record before it
		says    string
	}{
		{"garbage", func(ledger.Record) []byte { return []byte("\x00\xffhello") }, false, "not a record"},
		{"an empty message", func(ledger.Record) []byte { return nil }, false, "not a record"},
		{"a record that follows from another", func(last ledger.Record) []byte {
			return after(last, last.Previous, revision(last.Number, wanted))
		}, false, "doesn't follow from"},
		{"a revision that can't be read", func(last ledger.Record) []byte {
			return after(last, last.Hash, wanted)
		}, true, "its body can't be read"},
		{"a policy that can't be read", func(last ledger.Record) []byte {
			return after(last, last.Hash, revision(last.Number, "version: 1\nmarkets: {IT: open}\n"))
		}, true, "markets"},
		{"a policy that breaks a guarantee", func(last ledger.Record) []byte {
			return after(last, last.Hash, revision(last.Number, `version: 1
guarantees: {end-to-end-encryption: {require: true}}
demands:
  spy: {jurisdiction: FR, territories: none, title: Spy, stage: in-force, in-force: 2026-01-01T00:00:00Z, requires: {end-to-end-encryption: false}}
`))
		}, true, "end-to-end-encryption"},
		{"a revision of one that isn't in force", func(last ledger.Record) []byte {
			return after(last, last.Hash, revision(1, wanted))
		}, true, "it follows from revision 1"},
	} {
		n := 2 + 2*i
		good := f.gateways[i%5].apply(edition(n), fmt.Sprint("edition ", n))
		f.waitAgreed(f.gateways...)
		forged := f.publish(forgery.forge(f.record(good)))
		forgeries[forged] = forgery.says
		for _, g := range f.gateways {
			refused := func() []string { return g.log.Lines("ERROR", "invalid", fmt.Sprintf(`"number":%d,`, forged)) }
			metric := "exitgate_ledger_records_refused_total"
			if forgery.chained {
				refused = func() []string { return g.log.Lines("ERROR", "invalid", fmt.Sprintf("record %d ", forged)) }
			}
			testkit.Eventually(t, g.name+" refuses "+forgery.name, func() bool { return len(refused()) > 0 })
			if lines := refused(); len(lines) != 1 || !strings.Contains(lines[0], forgery.says) {
				t.Errorf("%s says of %s: %q", g.name, forgery.name, lines)
			}
			if forgery.chained {
				metric = "exitgate_policy_apply_failures_total"
			}
			if value := g.metric(metric); value == "0" || value == "" {
				t.Errorf("%s: after %s %s is %s", g.name, forgery.name, metric, value)
			}
			g.expectEdition(n)
			s := g.status()
			if !s.Ready || s.Revision != good {
				t.Errorf("after %s %s is at revision %d, ready is %v", forgery.name, g.name, s.Revision, s.Ready)
			}
			if check := s.Checks["policy"]; forgery.chained && (check.OK || !strings.Contains(check.Detail, forgery.says)) {
				t.Errorf("%s: the check after %s is %+v", g.name, forgery.name, check)
			}
		}
		// What is good comes through after it.
		f.gateways[(i+1)%5].apply(edition(n+1), fmt.Sprint("edition ", n+1))
		f.waitAgreed(f.gateways...)
		for _, g := range f.gateways {
			g.expectEdition(n + 1)
			if check := g.status().Checks["policy"]; !check.OK {
				t.Errorf("%s: the check after %s and a good one is %+v", g.name, forgery.name, check)
			}
		}
	}
	f.gateways[4].kill()
	f.gateways[4].start() // and it still knows
	history := f.waitConverged()
	for _, r := range history {
		if (r.Author == "eve") != (r.Refused != "") {
			t.Errorf("the log says of record %d by %s that it is refused because of %q", r.Number, r.Author, r.Refused)
		}
	}
	for _, g := range f.gateways {
		v := g.verification()
		if good := 2 + 2*len(forgeries); v.OK || v.Records != good || v.Last != history[len(history)-1].Number || len(v.Wrong) != len(forgeries) {
			t.Errorf("%s: of %d good records and %d forged ones the verification finds %+v", g.name, good, len(forgeries), v)
		}
		for _, w := range v.Wrong {
			if says, forged := forgeries[w.Number]; !forged || !strings.Contains(w.Reason, says) {
				t.Errorf("%s: the verification says of record %d: %s", g.name, w.Number, w.Reason)
			}
		}
	}
	s := f.gateways[0].runCommand("log", "--verify")
	if s.code != exitFailed {
		t.Errorf("log --verify ends with %d", s.code)
	}
	for number, says := range forgeries {
		f.gateways[0].says("log --verify", s.text(), fmt.Sprint(number), says)
	}
}

func TestALedgerThatAnAdministratorDeletesIsNeverTakenForAnEmptyOne(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 5)
	f.gateways[0].apply(edition(2), "edition 2")
	f.waitConverged()
	restarted := f.gateways[4]
	js := f.nats.Connect()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	kept := f.backup(ctx, js)
	if err := js.DeleteStream(ctx, stream); err != nil {
		t.Fatal(err)
	}
	restarted.kill()
	restarted.start()
	for _, g := range f.gateways {
		g.waitConnected(false)
		g.expectEdition(2)
		// It loses what it follows first, and finds out why when it asks again.
		testkit.Eventually(t, g.name+" says that the ledger is gone and what to do", func() bool {
			why := g.status().Ledger.Why
			return strings.Contains(why, "is gone") && strings.Contains(why, "restore it from a backup")
		})
		if r := g.getAdmin("/readyz"); r.status != http.StatusOK {
			t.Errorf("%s isn't ready: %s", g.name, r.body)
		}
	}
	for _, g := range []*ledgerGateway{f.gateways[0], restarted} {
		plan, err := g.plan(edition(3))
		if err != nil {
			t.Fatal(err)
		}
		var problem *api.Problem
		if _, err := g.propose(edition(3), "edition 3", plan); !errors.As(err, &problem) || problem.Code != "ledger-unavailable" {
			t.Errorf("%s: the error of a change is %v", g.name, err)
		}
	}
	if _, err := js.Stream(ctx, stream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("somebody has made another stream: %v", err)
	}
	// A gateway that is new can't know that there was one; the others do.
	f.grow(1)
	stranger := f.gateways[5]
	if r := stranger.request("DE", "GET /"); r.status != http.StatusServiceUnavailable {
		t.Errorf("a new gateway serves with %d by a ledger that was lost", r.status)
	}
	if _, err := js.Stream(ctx, stream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("a new gateway has made another stream: %v", err)
	}
	f.restore(ctx, js, kept)
	f.waitConverged()
	f.gateways[1].apply(edition(3), "edition 3")
	f.waitConverged()
	for _, g := range f.gateways {
		g.expectEdition(3)
	}
}

// A streamCopy is a stream as an administrator keeps it.
type streamCopy struct {
	config   jetstream.StreamConfig
	messages []*jetstream.RawStreamMsg
}

func (f *fleet) backup(ctx context.Context, js jetstream.JetStream) streamCopy {
	f.t.Helper()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		f.t.Fatal(err)
	}
	b := streamCopy{config: s.CachedInfo().Config}
	for number := uint64(1); number <= s.CachedInfo().State.LastSeq; number++ {
		m, err := s.GetMsg(ctx, number)
		if err != nil {
			f.t.Fatal(err)
		}
		b.messages = append(b.messages, m)
	}
	return b
}

func (f *fleet) restore(ctx context.Context, js jetstream.JetStream, b streamCopy) {
	f.t.Helper()
	_, err := js.CreateStream(ctx, b.config)
	for _, m := range b.messages {
		if err == nil {
			_, err = js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Data: m.Data, Header: m.Header})
		}
	}
	if err != nil {
		f.t.Fatal(err)
	}
}
