package console

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// An askedAPI answers what the page of all markets asks for, and notes who asks for what.
type askedAPI struct {
	mu    sync.Mutex
	asked map[string]int // by roles and target
	state int
}

func (a *askedAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	by, _ := IdentityOf(r.Context())()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[fmt.Sprint(by.Name, by.Roles, r.URL.Path)]++
	var answer any
	switch r.URL.Path {
	case "/v1/status":
		answer = api.Status{Time: sharedNow, Host: fmt.Sprint("state-", a.state, " of ", by.Roles), You: api.You{Name: by.Name, Roles: by.Roles}}
	case "/v1/places":
		answer = api.Places{Places: []api.Place{
			{Market: api.Market{Market: policy.Market{Jurisdiction: "FR", Name: "France"}, Hour: api.Requests{Forwarded: uint64(a.state)}}},
			{Market: api.Market{Market: policy.Market{Jurisdiction: "DE", Name: "Germany"}}},
		}}
	default:
		answer = struct{}{}
	}
	_ = json.NewEncoder(w).Encode(answer) // it is in memory
}

var vic = changes.Actor{Name: "vic", Roles: []changes.Role{changes.Viewer}}

var sharedNow = time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)

// set makes the state another, or with 0 forgets what was asked for.
func (a *askedAPI) set(state int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state, a.asked = state, map[string]int{}
}

func (a *askedAPI) counted() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func newSharingConsole() (*Console, *askedAPI) {
	a := &askedAPI{asked: map[string]int{}, state: 1}
	return New(Options{API: a, Now: func() time.Time { return sharedNow }, Log: slog.New(slog.DiscardHandler),
		Events: func(context.Context) <-chan api.Event { return nil },
		State:  func() any { a.mu.Lock(); defer a.mu.Unlock(); return a.state }}), a
}

// What is shown to many is asked for once for a state, for counsel and for others, by nobody
// of a name, and not at all if nobody looks; each has a name and a token of their own.
func TestPages_areMadeOnce(t *testing.T) {
	c, asked := newSharingConsole()
	if n := len(asked.counted()); n != 0 {
		t.Errorf("before anybody looks %d things are asked for", n)
	}
	open := func(name string, roles ...changes.Role) string {
		by := changes.Actor{Name: name, Roles: roles}
		cookie := c.sessions.begin(func() (changes.Actor, bool) { return by, true }, by)
		r := httptest.NewRequest("GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: "exitgate", Value: cookie})
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("%s gets %d\n%s", name, w.Code, w.Body)
		}
		return w.Body.String()
	}
	for state := 1; state <= 3; state++ {
		asked.set(state)
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				name := fmt.Sprint("ann-", i)
				page := open(name, [][]changes.Role{{changes.Viewer, changes.Counsel}, {changes.Counsel, changes.Operator}}[i%2]...)
				if may := strings.Contains(page, `href="/emergency"`); may != (i%2 == 1) {
					t.Errorf("%s finds something to press: %t", name, may)
				}
				if !strings.Contains(page, "<span>"+name+"</span>") || strings.Count(page, "ann-") != 1 || !strings.Contains(page, fmt.Sprint("state-", state, " of [viewer counsel]")) {
					t.Errorf("%s is shown\n%s", name, page)
				}
				if page := open(fmt.Sprint("vic-", i), []changes.Role{changes.Viewer, changes.Approver}[i%2]); !strings.Contains(page, fmt.Sprint("state-", state, " of [viewer]")) {
					t.Errorf("vic is shown\n%s", page)
				}
			})
		}
		all.Wait()
		want := map[string]int{}
		for _, roles := range []string{"[viewer]", "[viewer counsel]"} {
			for _, target := range []string{"/v1/status", "/v1/places", "/v1/log"} {
				want[roles+target] = 1
			}
		}
		if got := asked.counted(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("in state %d there was asked for\n%v, not\n%v", state, got, want)
		}
	}
}

// Of the board only tiles are sent that have changed.
func TestLiveParts_areWhatHasChanged(t *testing.T) {
	c, asked := newSharingConsole()
	parts := func(query string) *liveParts {
		t.Helper()
		p, err := c.answersTo(vic, time.Time{}).page(&url.URL{Path: "/", RawQuery: query}, vic)
		if err != nil {
			t.Fatal(err)
		}
		live, err := p.live()
		if err != nil {
			t.Fatal(err)
		}
		return live
	}
	for _, query := range []string{"", "view=table"} {
		asked.set(1)
		first := parts(query)
		if text := first.update(nil); !strings.Contains(text, `hx-target="#board"`) || !strings.Contains(text, `hx-target="#brief"`) {
			t.Errorf("%q: at first there is sent\n%s", query, text)
		}
		if text := first.update(first); text != "event: ping\ndata: \n\n" {
			t.Errorf("%q: when nothing has changed there is sent\n%s", query, text)
		}
		asked.set(2)
		next := parts(query)
		text := next.update(first)
		if strings.Count(text, "hx-target") != 2 || !strings.Contains(text, `hx-target="#t-FR"`) || !strings.Contains(text, `hx-target="#foot"`) {
			t.Errorf("%q: when one market has changed there is sent\n%s", query, text)
		}
		if again := next.update(first); again != text {
			t.Errorf("%q: to somebody else there is sent\n%s", query, again)
		}
	}
	if board, table := parts(""), parts("view=table"); !strings.Contains(table.update(board), `hx-target="#board"`) {
		t.Error("a table takes the place of tiles one by one")
	}
}

// What is remembered for people of some roles has a bound, whatever they ask for.
func TestAnswers_areBounded(t *testing.T) {
	c, _ := newSharingConsole()
	a := c.answersTo(vic, time.Time{})
	for i := range 3 * maxAnswers {
		if _, err := a.page(&url.URL{Path: "/", RawQuery: fmt.Sprint("q=", i)}, vic); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.each) > maxAnswers || len(c.tiles.texts) > maxTiles {
		t.Errorf("%d answers and %d tiles are remembered", len(a.each), len(c.tiles.texts))
	}
}
