package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"

	"github.com/exitgate/exitgate/flags/ofrep/client"
)

// eventsOf returns the events that wait, as "KIND: message".
func eventsOf(p *client.Provider, url string) []string {
	var events []string
	for {
		select {
		case event := <-p.EventChannel():
			events = append(events, strings.TrimPrefix(string(event.EventType), "PROVIDER_")+": "+strings.ReplaceAll(event.Message, url, "URL"))
		default:
			return events
		}
	}
}

func TestTellsAndLogsEachChangeOnce(t *testing.T) {
	const failing = "the flag server at URL answered 500: look into its log"
	clock := newClock("2026-11-22T12:00:00Z")
	source := newServer(t, nil)
	log, logged := newLogger()
	p := newClient(t, source.URL, func(o *client.Options) { o.Now, o.Logger = clock.Now, log })
	keep(t, p, []string{"e2ee"}, france)

	begin := clock.Now()
	down, up, changed := answerStatus(500, ``), answerJSON(`{"flags": [{"key": "e2ee", "value": true}]}`), answerJSON(`{"flags": [{"key": "e2ee", "value": false}]}`)
	for i, step := range []struct {
		answer http.HandlerFunc
		events []string
		status client.Status // but for the text of the error
	}{
		{down, []string{"ERROR: " + failing}, client.Status{Since: begin}},
		{down, nil, client.Status{Since: begin}},
		{answerStatus(401, ``), nil, client.Status{Since: begin}},
		{up, []string{"READY: the flag server answers again", "CONFIGURATION_CHANGED: flags have changed"}, client.Status{LastSuccess: begin.Add(3 * time.Second), Answered: true}},
		{up, nil, client.Status{LastSuccess: begin.Add(4 * time.Second), Answered: true}},
		{changed, []string{"CONFIGURATION_CHANGED: flags have changed"}, client.Status{LastSuccess: begin.Add(5 * time.Second), Answered: true}},
		{down, []string{"STALE: " + failing}, client.Status{LastSuccess: begin.Add(5 * time.Second), Since: begin.Add(6 * time.Second), Answered: true}},
		{down, nil, client.Status{LastSuccess: begin.Add(5 * time.Second), Since: begin.Add(6 * time.Second), Answered: true}},
		{changed, []string{"READY: the flag server answers again"}, client.Status{LastSuccess: begin.Add(8 * time.Second), Answered: true}},
	} {
		source.answers(step.answer)
		err := p.Refresh(t.Context())
		if diff := cmp.Diff(step.events, eventsOf(p, source.URL)); diff != "" {
			t.Errorf("step %d (-want +got)\n%s", i, diff)
		}
		status := p.Status()
		if !errors.Is(status.Err, err) {
			t.Errorf("step %d: the round ended with %v, and the status is %v", i, err, status.Err)
		}
		status.Err = nil
		if diff := cmp.Diff(step.status, status); diff != "" {
			t.Errorf("step %d (-want +got)\n%s", i, diff)
		}
		clock.move(time.Second)
	}
	want := `level=WARN msg="the flag server has not answered yet" error="` + failing + `"
level=WARN msg="the flag server fails for another reason now" error="the flag server at URL answered 401: check flags.ofrep.token-file or flags.ofrep.api-key-file"
level=INFO msg="the flag server answers again" after=3s
level=WARN msg="the flag server fails, and its last good answers stay" error="` + failing + `"
level=INFO msg="the flag server answers again" after=2s
`
	if diff := cmp.Diff(want, strings.ReplaceAll(logged.String(), source.URL, "URL")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNeverWaitsForSomebodyToTakeItsEvents(t *testing.T) {
	source := newServer(t, nil)
	p := newClient(t, source.URL)
	keep(t, p, []string{"e2ee"}, france)
	for i := range 100 {
		source.answers(answerJSON(fmt.Sprintf(`{"flags": [{"key": "e2ee", "value": %d}]}`, i)))
		refresh(t, p)
		source.answers(answerStatus(500, ``))
		if p.Refresh(t.Context()) == nil {
			t.Fatal("the round succeeded")
		}
	}
	// The last of either kind is what there is to know.
	want := []string{"CONFIGURATION_CHANGED: flags have changed", "STALE: the flag server at URL answered 500: look into its log"}
	if diff := cmp.Diff(want, eventsOf(p, source.URL)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWaitsLongerTheMoreRoundsFail(t *testing.T) {
	clock := newClock("2026-11-22T12:00:00Z")
	source := newServer(t, answerByCountry)
	p := newClient(t, source.URL, func(o *client.Options) { o.Poll, o.Now = 20*time.Second, clock.Now })
	keep(t, p, []string{"e2ee"}, france, germany)
	expect := func(when string, least, most time.Duration) {
		t.Helper()
		upper := false
		for range 1000 {
			pause := p.Pause()
			if pause < least || pause > most {
				t.Fatalf("%s: %v is not between %v and %v", when, pause, least, most)
			}
			upper = upper || pause > (least+most)/2
		}
		if !upper {
			t.Errorf("%s: it is never more than half of what it may be", when)
		}
	}
	fail := func() {
		t.Helper()
		if p.Refresh(t.Context()) == nil {
			t.Fatal("the round succeeded")
		}
	}
	refresh(t, p)
	expect("all is well", 18*time.Second, 22*time.Second)

	source.answers(answerStatus(500, ``))
	for i, most := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 200, 200} {
		fail()
		expect(fmt.Sprint(i+1, " failures"), most*time.Second/10, most*time.Second)
	}
	for range 100 {
		fail()
	}
	expect("111 failures", 20*time.Second, 200*time.Second)

	// A server that answers for one context is there.
	source.answers(func(w http.ResponseWriter, r *http.Request) {
		if etag := r.Header.Get("If-None-Match"); etag == `"true"` {
			answerStatus(400, `{"errorCode": "GENERAL"}`)(w, r)
			return
		}
		answerByCountry(w, r)
	})
	fail()
	expect("one of two contexts is answered", 18*time.Second, 22*time.Second)

	source.answers(answerStatus(429, ``, "Retry-After", "250"))
	fail()
	for range 1000 {
		if pause := p.Pause(); pause != 250*time.Second {
			t.Fatalf("the server wants 250 seconds, and gets %v", pause)
		}
	}
}

func TestEndsCompletely(t *testing.T) {
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	closed := make(chan struct{}, 100)
	source := &flagServer{answer: answerByCountry}
	source.Server = httptest.NewUnstartedServer(source)
	source.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if open[conn] = state != http.StateClosed; !open[conn] {
			delete(open, conn)
			closed <- struct{}{}
		}
	}
	source.Start()
	defer source.Close()

	asking, release := make(chan struct{}, 100), make(chan struct{})
	close(release)
	p := newClient(t, source.URL, func(o *client.Options) {
		o.Headers = func() (http.Header, error) {
			asking <- struct{}{}
			mu.Lock()
			until := release
			mu.Unlock()
			<-until
			return nil, nil
		}
	})
	keep(t, p, []string{"e2ee"}, france)
	if err := p.Init(openfeature.EvaluationContext{}); err != nil {
		t.Fatal(err)
	}
	p.BooleanEvaluation(t.Context(), "e2ee", false, user)
	<-asking
	<-asking

	mu.Lock()
	release = make(chan struct{})
	mu.Unlock()
	keep(t, p, []string{"e2ee"}, germany)
	<-asking // a round is under way
	var ended atomic.Bool
	go func() {
		time.Sleep(20 * time.Millisecond) // of a chance to return too early
		ended.Store(true)
		close(release)
	}()
	p.Shutdown()
	if !ended.Load() {
		t.Error("it was shut down while a round was under way")
	}
	for range 2 { // that of the rounds, and that of the call
		select {
		case <-closed:
		case <-time.After(30 * time.Second):
			t.Fatal("a connection is left")
		}
	}
}

// waitFor waits for an event.
func waitFor(t *testing.T, api *openfeature.EvaluationAPI, kind openfeature.EventType) (seen chan openfeature.EventDetails) {
	t.Helper()
	seen = make(chan openfeature.EventDetails, 100)
	callback := func(details openfeature.EventDetails) { seen <- details }
	api.AddHandler(kind, &callback)
	return seen
}

func await(t *testing.T, seen <-chan openfeature.EventDetails, what string) {
	t.Helper()
	select {
	case <-seen:
	case <-time.After(30 * time.Second):
		t.Fatalf("no event: %s", what)
	}
}

func TestLivesInOpenFeature(t *testing.T) {
	expectNoLeak(t)
	source := newServer(t, answerStatus(500, ``))
	p := newClient(t, source.URL, func(o *client.Options) { o.Poll = 10 * time.Millisecond })
	keep(t, p, []string{"e2ee"}, france)
	api := isolated.NewAPI()
	stale, ready, changed := waitFor(t, api, openfeature.ProviderStale), waitFor(t, api, openfeature.ProviderReady), waitFor(t, api, openfeature.ProviderConfigChange)
	client := api.NewClient()
	inFrance := openfeature.NewEvaluationContext("FR", map[string]any{"jurisdiction": "FR"})

	// The server is down at start: that is told, and not the end.
	want := "the flag server at " + source.URL + " answered 500: look into its log"
	if err := api.SetProviderAndWait(t.Context(), p); err == nil || !strings.Contains(err.Error(), want) {
		t.Error(err)
	}
	if value, err := client.BooleanValue(t.Context(), "e2ee", true, inFrance); err == nil || !value {
		t.Errorf("%v, %v", value, err)
	}

	source.answers(answerByCountry)
	await(t, ready, "the server is up")
	await(t, changed, "there are flags")
	details, err := client.BooleanValueDetails(t.Context(), "e2ee", true, inFrance)
	if err != nil || details.Value || details.Reason != openfeature.StaticReason {
		t.Errorf("%+v, %v", details, err)
	}

	source.answers(answerStatus(500, ``))
	await(t, stale, "the server is down")
	if value, err := client.BooleanValue(t.Context(), "e2ee", true, inFrance); err != nil || value {
		t.Errorf("the last good answer is gone: %v, %v", value, err)
	}
	source.answers(answerByCountry)
	await(t, ready, "the server is up again")

	if err := api.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	p.Shutdown() // twice does no harm
	if value, err := p.BooleanEvaluation(t.Context(), "e2ee", true, france), error(nil); err != nil || value.Value {
		t.Errorf("after the end, what is known is gone: %+v", value)
	}
}

func TestSurvivesAServerThatFlaps(t *testing.T) {
	expectNoLeak(t)
	source := newServer(t, nil)
	log, logged := newLogger()
	p := newClient(t, source.URL, func(o *client.Options) { o.Logger = log })
	keep(t, p, []string{"e2ee"}, manyContexts(40)...)
	for i := range 50 {
		source.answers(answerByCountry)
		refresh(t, p)
		source.answers(answerStatus(500, ``))
		for range 3 {
			if p.Refresh(t.Context()) == nil {
				t.Fatal("the round succeeded")
			}
		}
		if lines := strings.Count(logged.String(), "\n"); lines != 2*(i+1) {
			t.Fatalf("%d lines are logged after %d changes:\n%s", lines, 2*(i+1), logged.String())
		}
	}
	if err := p.BooleanEvaluation(t.Context(), "e2ee", true, manyContexts(40)[39]).Error(); err != nil {
		t.Error(err)
	}
}

func TestBeginsARoundWhenWhatIsKeptChanges(t *testing.T) {
	expectNoLeak(t)
	asked := make(chan string, 100)
	source := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		answerByCountry(w, r)
		asked <- r.URL.Path
	})
	p := newClient(t, source.URL) // that polls once an hour
	if err := p.Init(openfeature.EvaluationContext{}); err != nil {
		t.Errorf("with nothing to ask for: %v", err)
	}
	for _, context := range []openfeature.FlattenedContext{france, germany} {
		keep(t, p, []string{"e2ee"}, context)
		select {
		case <-asked:
		case <-time.After(30 * time.Second):
			t.Fatal("no round began")
		}
	}
}

func TestStartsAndStopsWhileAServerHangs(t *testing.T) {
	expectNoLeak(t)
	asked, release := make(chan struct{}, 10), make(chan struct{})
	source := newServer(t, func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	})
	defer close(release)
	p := newClient(t, source.URL)
	keep(t, p, []string{"e2ee"}, france)

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if err := p.InitWithContext(ctx, openfeature.EvaluationContext{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	p.Shutdown()

	// It can be started anew, and be stopped while somebody waits for that.
	result := make(chan error)
	go func() { result <- p.Init(openfeature.EvaluationContext{}) }()
	<-asked
	p.Shutdown()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := p.Status().Err; err != nil {
		t.Errorf("the end of the provider is a fault of the server: %v", err)
	}
}

func TestIsUsedByManyAtOnce(t *testing.T) {
	expectNoLeak(t)
	source := newServer(t, answerByCountry)
	p := newClient(t, source.URL, func(o *client.Options) { o.Poll = time.Millisecond })
	keep(t, p, []string{"e2ee"}, france, germany)
	if err := p.Init(openfeature.EvaluationContext{}); err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for i := range 200 {
				if detail := p.BooleanEvaluation(t.Context(), "e2ee", true, france); detail.Error() != nil || detail.Value {
					t.Errorf("%+v", detail)
				}
				switch i % 50 {
				case 10:
					keys := [][]string{{"e2ee"}, {"e2ee", "other"}}[i/50%2]
					if err := p.Cache([]openfeature.FlattenedContext{germany, france}, keys); err != nil {
						t.Error(err)
					}
				case 20:
					if err := p.Refresh(t.Context()); err != nil {
						t.Error(err)
					}
				case 30:
					if _, _, err := p.Prefetch(t.Context(), user); err != nil {
						t.Error(err)
					}
				case 40:
					p.Status()
				}
			}
		})
	}
	users.Wait()
}
