//go:build integration

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// TestWhatTheConsoleCosts measures how long a page takes, and what the open ones cost, with
// 250 countries and 1,000 subdivisions, while 200 people look and a revision comes each
// second. It is run by
//
//	go test -tags integration ./cmd/exitgate -run TestWhatTheConsoleCosts -v -args -scale 10000
func TestWhatTheConsoleCosts(t *testing.T) {
	if *scale == 0 {
		t.Skip("takes long: give -scale")
	}
	const (
		viewers = 200
		seconds = 30
	)
	m := newLedgerGateway(t)
	writeRevisions(t, m.data("ledger"), *scale)
	m.restart()
	m.apply(manyMarkets(), "250 countries and 1,000 subdivisions.")
	roles := []string{"viewer", "operator", "approver", "viewer,counsel"}
	var people []*http.Client
	for i := range 10 { // some with each set of roles, twenty pages each
		name := fmt.Sprint("person-", i)
		m.mustRun("principal", "add", name, "--role", roles[i%len(roles)], "--because", "They look.")
		people = append(people, m.signIn(m.mustRun("principal", "token", name, "--expires", "1h", "--because", "A test.").out))
	}
	base := "http://" + m.admin

	// updates makes a revision each second, and returns what else was measured meanwhile.
	n := 0
	updates := func(what string) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var opened []time.Duration
		var done sync.WaitGroup
		done.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				opened = append(opened, opens(t, people[i%len(people)], base+"/"))
				time.Sleep(50 * time.Millisecond)
			}
		})
		began, used := time.Now(), m.processorTime()
		var applied []time.Duration
		for second := range seconds {
			n++
			toggled := time.Now()
			m.setPhase("SE", []policy.Phase{policy.Announced, policy.ClosedToNew}[n%2], fmt.Sprint("edition ", n))
			applied = append(applied, time.Since(toggled))
			time.Sleep(time.Until(began.Add(time.Duration(second+1) * time.Second)))
		}
		used = m.processorTime() - used
		stop()
		done.Wait()
		report(t, what+": a change, planned and in force", applied)
		slices.Sort(opened)
		t.Logf("%s: a page, %v at the median of %d, %v at the 95th percentile, %v at most", what, opened[len(opened)/2].Round(100*time.Microsecond), len(opened),
			opened[len(opened)*95/100].Round(100*time.Microsecond), opened[len(opened)-1].Round(100*time.Microsecond))
		t.Logf("%s: the gateway takes %.2f cores, and holds %d MB", what, used.Seconds()/time.Since(began).Seconds(), m.memory("VmRSS")>>20)
	}
	updates("nobody looks")

	ctx, stop := context.WithCancel(t.Context())
	var following sync.WaitGroup
	var events, bytes atomic.Int64
	for i := range viewers {
		first := make(chan struct{}, 1)
		following.Go(func() {
			follows(t, ctx, people[i%len(people)], base+"/live?"+url.Values{"page": {"/"}}.Encode(), func(length int) {
				events.Add(1)
				bytes.Add(int64(length))
				select {
				case first <- struct{}{}:
				default: // it was said
				}
			})
		})
		select {
		case <-first:
		case <-time.After(patience):
			t.Fatal("nothing is sent to a page that is open")
		}
	}
	events.Store(0)
	bytes.Store(0)
	updates(fmt.Sprint(viewers, " look"))
	t.Logf("%d events of %d bytes at the mean were sent", events.Load(), bytes.Load()/max(1, events.Load()))
	if m.memory("VmRSS") > 1<<30 {
		t.Errorf("it holds %d MB", m.memory("VmRSS")>>20)
	}
	stop()
	following.Wait()
}

// manyMarkets is a policy of all countries and 1,000 subdivisions.
func manyMarkets() string {
	var b strings.Builder
	b.WriteString("version: 1\njurisdictions:\n")
	n := 0
	for country := range iso3166.Countries() {
		fmt.Fprintf(&b, "  \"%s\": {phase: announced, territories: none}\n", country.Code)
		for s := range iso3166.Subdivisions(country.Code) {
			if s.Parent == "" && n < 1000 && country.Code != "FR" {
				fmt.Fprintf(&b, "  %s: announced\n", s.Code)
				n++
			}
		}
	}
	return b.String()
}

// signIn signs somebody in to the console by a token.
func (g *ledgerGateway) signIn(token string) *http.Client {
	g.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Transport: &http.Transport{MaxIdleConnsPerHost: 4}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := c.PostForm("http://"+g.admin+"/sign-in", url.Values{"token": {strings.TrimSpace(token)}})
	if err != nil {
		g.t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusSeeOther {
		g.t.Fatalf("signing in: %d", answer.StatusCode)
	}
	return c
}

// opens returns how long a page takes, to its last byte.
func opens(t *testing.T, c *http.Client, page string) time.Duration {
	began := time.Now()
	answer, err := c.Get(page)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("a page: %d, %v", answer.StatusCode, err)
	}
	return time.Since(began)
}

// follows reads what is sent to an open page, and says how long each event is.
func follows(t *testing.T, ctx context.Context, c *http.Client, target string, event func(length int)) {
	r, err := http.NewRequestWithContext(ctx, "GET", target, nil)
	if err != nil {
		t.Error(err)
		return
	}
	answer, err := c.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("an open page: %v, %v", answer, err)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	length := 0
	for lines := bufio.NewReaderSize(answer.Body, 64<<10); ; {
		line, err := lines.ReadSlice('\n')
		length += len(line)
		switch {
		case err == bufio.ErrBufferFull:
		case err != nil:
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		case len(line) == 1:
			event(length)
			length = 0
		}
	}
}

// processorTime returns for how long the gateway has used processors.
func (g *ledgerGateway) processorTime() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.cmd.Process.Pid))
	if err != nil {
		return 0 // elsewhere nothing is said
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	const user, system = 11, 12 // proc_pid_stat(5), without the first two
	ticks := 0
	for _, field := range []string{fields[user], fields[system]} {
		n, _ := strconv.Atoi(field)
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}
