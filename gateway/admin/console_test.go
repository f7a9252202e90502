package admin_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/admin"
	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/gateway/evidence"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// A browser has a cookie, and is somebody's.
type browser struct {
	t      testing.TB
	g      *fixture
	cookie string
}

// opens asks for a page as a browser does. Headers take the place of what that sends.
func (b *browser) opens(method, target string, form url.Values, more ...headers) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), method, target, strings.NewReader(form.Encode()))
	r.Host, r.RemoteAddr = "127.0.0.1:8600", "127.0.0.1:55555"
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://127.0.0.1:8600")
	}
	if b.cookie != "" {
		r.Header.Set("Cookie", "exitgate="+b.cookie)
	}
	for _, fields := range more {
		for name, value := range fields {
			r.Header.Set(name, value)
			if name == "Host" {
				r.Host = value
			}
		}
	}
	w := httptest.NewRecorder()
	b.g.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookie = c.Value
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
			b.t.Errorf("the cookie is %s", c)
		}
	}
	return w
}

// link returns where somebody is signed in, once.
func link(t testing.TB, g *fixture, who actor) url.Values {
	t.Helper()
	var l api.ConsoleLink
	decode(t, ask(t, g, who, "POST", "/v1/console/links", nil).body, &l)
	u, err := url.Parse(l.Path)
	if err != nil || u.Path != "/sign-in" {
		t.Fatalf("the link is %s", l.Path)
	}
	return u.Query()
}

func decode(t testing.TB, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

func signedIn(t testing.TB, g *fixture, who actor) *browser {
	t.Helper()
	b := &browser{t: t, g: g}
	if w := b.opens("POST", "/sign-in", link(t, g, who)); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" || b.cookie == "" {
		t.Fatalf("signing in: %d, %s\n%s", w.Code, w.Header(), w.Body)
	}
	return b
}

var tokenOfForm = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// form returns a form with the token of this session.
func (b *browser) form(pairs ...string) url.Values {
	b.t.Helper()
	found := tokenOfForm.FindStringSubmatch(b.opens("GET", "/account", nil).Body.String())
	if found == nil {
		b.t.Fatal("the account has no form")
	}
	form := url.Values{"csrf": {found[1]}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

var consolePages = []string{"/", "/?view=table", "/markets/BY", "/markets/GB", "/markets/BY/change", "/emergency?market=BY", "/changes", "/demands", "/explain?address=GB", "/log", "/log?verified", "/revisions/1", "/revisions/2", "/revisions/1/restore", "/account"}

// Nobody gets a page, nor a change, by what isn't a session of their own.
func TestConsole_abuse(t *testing.T) {
	g := newFixture(t)
	isRefused := func(what string, w *httptest.ResponseRecorder) {
		t.Helper()
		if w.Code < 300 || w.Code == http.StatusSeeOther && !strings.HasPrefix(w.Header().Get("Location"), "/sign-in") {
			t.Errorf("%s: %d, %s\n%s", what, w.Code, w.Header(), w.Body)
		}
	}
	stranger := &browser{t: t, g: g}
	if w := stranger.opens("GET", "/live?page=/", nil); w.Body.String() != "event: signed-out\ndata: \n\n" {
		t.Errorf("without a session the stream of a page has more than that:\n%s", w.Body)
	}
	for _, page := range consolePages {
		isRefused("without a session "+page, stranger.opens("GET", page, nil))
		isRefused("with a token and no session "+page, stranger.opens("GET", page, nil, headers{"Authorization": "Bearer " + g.tokens[both]}))
	}
	stranger.cookie = "guessed"
	isRefused("with a guessed cookie", stranger.opens("GET", "/", nil))

	l := link(t, g, operator)
	if w := stranger.opens("GET", "/sign-in?"+l.Encode(), nil); w.Code != http.StatusOK || stranger.cookie != "guessed" {
		t.Errorf("looking at a link signs in: %d", w.Code)
	}
	one := &browser{t: t, g: g, cookie: "chosen-by-somebody"}
	if w := one.opens("POST", "/sign-in", l); w.Code != http.StatusSeeOther || one.cookie == "chosen-by-somebody" {
		t.Errorf("a session that somebody else has chosen goes on: %d", w.Code)
	}
	again := &browser{t: t, g: g}
	isRefused("a link again", again.opens("POST", "/sign-in", l))
	l = link(t, g, operator)
	g.tick(61 * time.Second)
	isRefused("a link after a minute", again.opens("POST", "/sign-in", l))
	for range 20 {
		isRefused("a wrong token", again.opens("POST", "/sign-in", url.Values{"token": {"exg_wrong"}}))
	}
	if w := again.opens("POST", "/sign-in", url.Values{"token": {"exg_wrong"}}); !strings.Contains(w.Body.String(), "too many") {
		t.Errorf("wrong tokens without end:\n%s", w.Body)
	}

	b := signedIn(t, g, operator)
	change := b.form("phase", "withdrawn", "because", "A test.", "act", "plan")
	const target = "/markets/BY/change"
	for what, elsewhere := range map[string]headers{
		"from another site":      {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
		"from another port":      {"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"},
		"from a file":            {"Origin": "null"},
		"by a name of somebody":  {"Host": "evil.example", "Origin": "http://evil.example"},
		"a page inside of one":   {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Origin": "https://evil.example"},
		"by a link with a POST":  {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Origin": "https://evil.example"},
		"as an image, elsewhere": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
	} {
		isRefused(what, b.opens("POST", target, change, elsewhere))
	}
	without := url.Values{"phase": {"withdrawn"}, "because": {"A test."}}
	isRefused("without the session's token", b.opens("POST", target, without))
	without.Set("csrf", signedIn(t, g, operator).form().Get("csrf"))
	isRefused("with another session's token", b.opens("POST", target, without))
	isRefused("too long", b.opens("POST", target, b.form("because", strings.Repeat("x", 70_000))))
	if w := b.opens("GET", "/changes", nil, headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}); w.Code != http.StatusOK {
		t.Errorf("a link in an alert leads to %d", w.Code)
	}
	w := b.opens("GET", "/", nil)
	for name, want := range map[string]string{"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY", "Cache-Control": "no-store"} {
		if !strings.Contains(w.Header().Get(name), want) {
			t.Errorf("%s is %q", name, w.Header().Get(name))
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") {
		t.Error(csp)
	}

	stolen := &browser{t: t, g: g, cookie: b.cookie}
	b.opens("POST", "/sign-out", b.form())
	isRefused("a cookie after signing out", stolen.opens("GET", "/", nil))
	here, there := signedIn(t, g, operator), signedIn(t, g, operator)
	here.opens("POST", "/sign-out", here.form("everywhere", "yes"))
	isRefused("after signing out everywhere", there.opens("GET", "/", nil))

	idle := signedIn(t, g, viewer)
	g.tick(59 * time.Minute)
	if w := idle.opens("GET", "/", nil); w.Code != http.StatusOK {
		t.Errorf("within an hour: %d", w.Code)
	}
	g.tick(61 * time.Minute)
	isRefused("after an hour", idle.opens("GET", "/", nil))
	busy := signedIn(t, g, viewer)
	for range 13 {
		g.tick(59 * time.Minute)
		w = busy.opens("GET", "/", nil)
	}
	isRefused("after half a day", w)

	secret, name := g.token(t, "zed", time.Time{}, changes.Viewer)
	zed := &browser{t: t, g: g}
	if w := zed.opens("POST", "/sign-in", url.Values{"token": {secret}, "next": {"//evil.example/"}}); w.Header().Get("Location") != "/" {
		t.Errorf("signing in leads to %s", w.Header().Get("Location"))
	}
	if got := ask(t, g, socket, "DELETE", "/v1/principals/zed/tokens/"+name+"?because=lost", nil); got.status != http.StatusNoContent {
		t.Fatalf("revoking: %d\n%s", got.status, got.body)
	}
	isRefused("with a token that was revoked", zed.opens("GET", "/", nil))
}

// Whoever lacks a role finds nothing to press, and does nothing by pressing it all the same.
func TestConsole_roles(t *testing.T) {
	g := newFixture(t)
	waits := g.pending(t, zoe, "BY-MI")
	b := signedIn(t, g, viewer)
	for _, page := range consolePages {
		w := b.opens("GET", page, nil)
		if w.Code >= 500 {
			t.Errorf("%s: %d\n%s", page, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), `value="propose"`) || strings.Contains(w.Body.String(), ">Approve<") {
			t.Errorf("a viewer finds something to press on %s", page)
		}
	}
	before := g.count()
	for target, form := range map[string]url.Values{
		fmt.Sprintf("/changes/%d/approval", waits.Number):  b.form("plan", waits.Plan),
		fmt.Sprintf("/changes/%d/rejection", waits.Number): b.form("because", "No."),
	} {
		if w := b.opens("POST", target, form); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	if g.count() != before {
		t.Error("a viewer has changed something")
	}
}

// A reason that was typed isn't lost where it isn't done.
func TestConsole_keepsWhatWasTyped(t *testing.T) {
	g := newFixture(t)
	waits, other := g.pending(t, zoe, "RU"), g.pending(t, zoe, "DE")
	b := signedIn(t, g, approver)
	w := b.opens("POST", fmt.Sprintf("/changes/%d/approval", waits.Number), b.form("plan", strings.Repeat("0", 64), "because", "As \"read\" <b>."))
	const typed = `value="As &#34;read&#34; &lt;b&gt;."`
	if n := strings.Count(w.Body.String(), typed); w.Code != http.StatusConflict || n == 0 {
		t.Errorf("%d, and what was typed is there %d times", w.Code, n)
	}
	_, ofOther, found := strings.Cut(w.Body.String(), fmt.Sprintf(`action="/changes/%d/approval"`, other.Number))
	if form, _, _ := strings.Cut(ofOther, "</form>"); !found || strings.Contains(form, typed) {
		t.Error("it is there for another change, too")
	}
}

// The page, the API and the command propose the same.
func TestConsole_changesAsTheAPI(t *testing.T) {
	g := newFixture(t)
	b := signedIn(t, g, operator)
	if w := b.opens("POST", "/markets/RU/change", b.form("phase", "withdrawn", "because", "In two\r\nlines, as browsers send them.", "act", "plan")); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "control characters") {
		t.Errorf("a reason in two lines: %d\n%s", w.Code, w.Body)
	}
	if w := b.opens("GET", "/emergency?market=RU&typed=Russia&because=x", nil); strings.Contains(w.Body.String(), `value="Russia"`) {
		t.Error("a link types the name")
	}
	form := b.form("phase", "withdrawn", "because", "A law.", "act", "plan")
	hidden := func(w *httptest.ResponseRecorder, name string) string {
		found := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(w.Body.String())
		if found == nil {
			t.Fatalf("there is no %s: %d\n%s", name, w.Code, w.Body)
		}
		return found[1]
	}
	w := b.opens("POST", "/markets/RU/change", form)
	for _, name := range []string{"plan", "base", "key"} {
		form.Set(name, hidden(w, name))
	}
	form.Set("act", "propose")
	before := g.count()
	if w := b.opens("POST", "/markets/RU/change", form); w.Code != http.StatusBadRequest || g.count() != before {
		t.Errorf("without the name: %d", w.Code)
	}
	form.Set("typed", "ru")
	for range 2 { // pressed twice
		if w = b.opens("POST", "/markets/RU/change", form); w.Code != http.StatusSeeOther {
			t.Fatalf("%d\n%s", w.Code, w.Body)
		}
	}
	if g.count() != before+1 {
		t.Errorf("pressed twice, %d records were written", g.count()-before)
	}
	state, now := g.known()
	all := state.Changes(nil, now)
	i := slices.IndexFunc(all, func(c changes.Change) bool { return c.Because == "A law." })
	if i < 0 || all[i].Plan != form.Get("plan") || !slices.Equal(all[i].Authors, []string{"operator"}) {
		t.Fatalf("there are %+v", all)
	}
	got := ask(t, g, operator, "POST", "/v1/plan", api.Proposal{Set: &api.Set{Jurisdiction: "RU", Phase: policy.Withdrawn}})
	var planned api.Plan
	decode(t, got.body, &planned)
	if planned.Plan.After != all[i].SHA256 {
		t.Errorf("the page proposes %s, and the API %s", all[i].SHA256, planned.Plan.After)
	}

	// Edited, it is the same change.
	form.Set("change", fmt.Sprint(all[i].Number))
	form.Set("phase", "wind-down")
	form.Set("act", "plan")
	w = b.opens("POST", "/markets/RU/change", form)
	for _, name := range []string{"plan", "base", "key"} {
		form.Set(name, hidden(w, name))
	}
	form.Set("act", "propose")
	if w = b.opens("POST", "/markets/RU/change", form); w.Code != http.StatusSeeOther || w.Header().Get("Location") != fmt.Sprintf("/changes#n%d", all[i].Number) {
		t.Fatalf("%d, %v\n%s", w.Code, w.Header(), w.Body)
	}
	state, now = g.known()
	if c, _, _ := state.Change(all[i].Number, nil, now); c.Summary != "RU open → wind-down" {
		t.Errorf("it is %+v", c)
	}

	// Overtaken, it says why it can't be approved, and may be given up.
	p := api.Proposal{Set: &api.Set{Jurisdiction: "RU", Phase: policy.Withdrawn}, Emergency: true, Because: "A raid.", Plan: planned.Plan.Hash}
	if got := ask(t, g, operator, "POST", "/v1/changes", p, g.ifMatch()); got.status != http.StatusCreated {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	page := signedIn(t, g, both).opens("GET", "/changes", nil).Body.String()
	_, card, _ := strings.Cut(page, fmt.Sprintf(`id="n%d"`, all[i].Number))
	card, _, _ = strings.Cut(card, "</article>")
	if !strings.Contains(card, "came between") || !strings.Contains(card, "/rejection") || strings.Contains(card, "/approval") {
		t.Errorf("it is shown as\n%s", card)
	}
}

// No page has anything of a demand that its reader may not know of.
func TestConsole_undisclosed(t *testing.T) {
	g, _ := withSecrets(t, "in braces")
	for _, who := range []actor{viewer, both} {
		b := signedIn(t, g, who)
		for _, page := range append(consolePages, "/revisions/3", "/revisions/5", "/markets/FR", "/log/verification") {
			w := b.opens("GET", page, nil)
			for _, word := range secretWords {
				if strings.Contains(w.Body.String(), word) {
					t.Errorf("%s, %s: reads of %s", who, page, word)
				}
			}
		}
	}
	if w := signedIn(t, g, socket).opens("GET", "/demands", nil); !strings.Contains(w.Body.String(), "gb-order") {
		t.Errorf("counsel doesn't read of it:\n%s", w.Body)
	}
}

// withToken signs somebody in by a new token.
func withToken(t testing.TB, g *fixture, name string, roles ...changes.Role) *browser {
	t.Helper()
	secret, _ := g.token(t, name, time.Time{}, roles...)
	b := &browser{t: t, g: g}
	if w := b.opens("POST", "/sign-in", url.Values{"token": {secret}}); w.Code != http.StatusSeeOther {
		t.Fatalf("%s is not signed in: %d\n%s", name, w.Code, w.Body)
	}
	return b
}

// checkSecrets finds out whether somebody reads of what may not be disclosed.
func checkSecrets(t testing.TB, who, where, text string) {
	t.Helper()
	for _, word := range secretWords {
		if strings.Contains(text, word) {
			t.Errorf("%s reads of %s on %s:\n%s", who, word, where, text)
		}
	}
}

// What is shown is shared by those who may know the same: nobody gets what was made for
// counsel, nor counsel what was made for others, whoever looks first; and of a page that is
// shared, the names and the tokens of forms are everybody's own.
func TestConsole_sharesWithWhoMayKnowTheSame(t *testing.T) {
	g, _ := withSecrets(t, "in lines")
	cleo := withToken(t, g, "cleo", changes.Viewer, changes.Counsel)
	vica, vicb := withToken(t, g, "vica", changes.Viewer), withToken(t, g, "vicb", changes.Viewer)
	token := map[*browser]string{}
	for _, b := range []*browser{cleo, vica, vicb} {
		token[b] = b.form().Get("csrf")
	}
	for _, inTurn := range [][]*browser{{cleo, vica, vicb}, {vicb, vica, cleo}, {vica, cleo, vicb}} {
		g.tick(time.Minute) // nothing is left of what was made before
		for _, page := range append(consolePages, "/revisions/3", "/markets/FR") {
			shown := map[*browser]string{}
			for _, b := range inTurn {
				shown[b] = b.opens("GET", page, nil).Body.String()
				for _, found := range tokenOfForm.FindAllStringSubmatch(shown[b], -1) {
					if found[1] != token[b] {
						t.Errorf("a form on %s has not the token of who looks", page)
					}
				}
			}
			checkSecrets(t, "vica", page, shown[vica])
			if !strings.HasPrefix(page, "/log") && (strings.Contains(shown[vica], "vicb") || strings.Contains(shown[cleo], "vica")) {
				t.Errorf("on %s somebody reads another one's name", page)
			}
			if slices.Contains([]string{"/", "/markets/GB", "/changes", "/demands", "/log"}, page) && !strings.Contains(shown[cleo], "gb-order") && !strings.Contains(shown[cleo], "An order that is secret") {
				t.Errorf("counsel doesn't read of it on %s:\n%s", page, shown[cleo])
			}
			mine := strings.NewReplacer("vica", "vic", "vicb", "vic", token[vica], "token", token[vicb], "token")
			if keys := regexp.MustCompile(`name="key" value="[^"]*"`); keys.ReplaceAllString(mine.Replace(shown[vica]), "") != keys.ReplaceAllString(mine.Replace(shown[vicb]), "") {
				t.Errorf("%s is another one for somebody who may know the same", page)
			}
		}
	}
}

// So it is with what is sent to a page that is open; and whoever is counsel no more gets
// nothing of it from then on.
func TestConsole_streamsToWhoMayKnow(t *testing.T) {
	g, _ := withSecrets(t, "in lines")
	cleo, vica := withToken(t, g, "cleo", changes.Viewer, changes.Counsel), withToken(t, g, "vica", changes.Viewer)
	token := map[*browser]string{cleo: cleo.form().Get("csrf"), vica: vica.form().Get("csrf")}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // what never comes fails
	defer cancel()
	follows := func(b *browser, page string) following {
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/live?"+url.Values{"page": {page}}.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", "exitgate="+b.cookie)
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		return following{answer, bufio.NewReader(answer.Body)}
	}
	// next reads until something is sent that has a word.
	next := func(b *browser, f following, word string) string {
		for {
			text := f.next(t)
			for _, found := range tokenOfForm.FindAllStringSubmatch(text, -1) {
				if found[1] != token[b] {
					t.Error("a form has not the token of who looks")
				}
			}
			if strings.Contains(text, word) {
				return text
			}
		}
	}
	type open struct {
		page, word string // the word is in what everybody is sent of it
		of         *browser
		following
	}
	var all []open
	for _, page := range [][2]string{{"/", "board"}, {"/changes", "Changes"}, {"/markets/GB", "United Kingdom"}, {"/demands", "record"}} {
		for _, b := range []*browser{cleo, vica} {
			all = append(all, open{page[0], page[1], b, follows(b, page[0])})
		}
	}
	look := func(known bool) {
		t.Helper()
		for _, o := range all {
			text := next(o.of, o.following, o.word)
			if o.of == vica || !known {
				checkSecrets(t, "who isn't counsel", o.page, text)
			} else if o.page != "/demands" && !strings.Contains(text, "gb-order") && !strings.Contains(text, "An order that is secret") {
				t.Errorf("counsel isn't sent anything of it on %s:\n%s", o.page, text)
			}
		}
	}
	look(true)
	if got := ask(t, g, socket, "PUT", "/v1/principals/cleo", api.Principal{Roles: []changes.Role{changes.Viewer}, Because: "Another job."}); got.status != http.StatusOK {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	g.happening.Publish(api.Event{Type: "principal", Message: "cleo"})
	all = slices.DeleteFunc(all, func(o open) bool { return o.of == vica || o.page == "/" }) // nothing new for them, or only of parts
	look(false)
}

// Whose change it is, everybody reads of their own.
func TestConsole_ownChangesOnASharedPage(t *testing.T) {
	g := newFixture(t)
	ann, bob, eve := withToken(t, g, "ann", changes.Operator, changes.Approver), withToken(t, g, "bob", changes.Operator, changes.Approver), withToken(t, g, "eve", changes.Operator, changes.Approver)
	waits := g.pending(t, changes.Actor{Name: "ann", Roles: []changes.Role{changes.Operator}}, "RU")
	for _, inTurn := range [][]*browser{{ann, bob, eve}, {eve, bob, ann}} {
		g.tick(time.Minute)
		for _, b := range inTurn {
			page := b.opens("GET", "/changes", nil).Body.String()
			if isMine := strings.Contains(page, "you, author") && strings.Contains(page, "Give it up") && strings.Contains(page, "disabled"); isMine != (b == ann) {
				t.Errorf("it is somebody else's:\n%s", page)
			}
		}
	}
	// On the board it is on the tiles that it is about, however its summary says so.
	page := bob.opens("GET", "/", nil).Body.String()
	if found := regexp.MustCompile(`(?s)id="t-([A-Z-]+)"[^>]*aria-label="[^"]*to approve"`).FindAllStringSubmatch(page, -1); len(found) != 1 || found[0][1] != "RU" {
		t.Errorf("change %d is shown on %q", waits.Number, found)
	}
	if page := bob.opens("GET", "/markets/RU", nil).Body.String(); !strings.Contains(page, fmt.Sprintf("/changes#n%d", waits.Number)) {
		t.Errorf("the market doesn't say that a change waits:\n%s", page)
	}
}

// While no policy is known, each page says so, and why, and what to do.
func TestConsole_withoutAPolicy(t *testing.T) {
	g := newFixture(t)
	b := signedIn(t, g, socket)
	g.closed = "its servers don't answer"
	for _, page := range []string{"/", "/changes", "/demands", "/markets/BY", "/emergency", "/log", "/explain?address=BY"} {
		w := b.opens("GET", page, nil)
		if text := w.Body.String(); w.Code != http.StatusServiceUnavailable || !strings.Contains(text, "<h1>No policy is known yet</h1>") || !strings.Contains(text, "its servers don&#39;t answer") || !strings.Contains(text, `hx-sse:connect="/live"`) {
			t.Errorf("%s: %d\n%s", page, w.Code, text)
		}
	}
	if w := b.opens("GET", "/account", nil); w.Code != http.StatusOK {
		t.Errorf("the account: %d", w.Code)
	}
	g.closed = ""
	if w := b.opens("GET", "/", nil); w.Code != http.StatusOK {
		t.Errorf("then: %d\n%s", w.Code, w.Body)
	}
}

// That a revision is in force is said only as long as it is.
func TestConsole_saysWhatIsInForce(t *testing.T) {
	g := newFixture(t)
	b := signedIn(t, g, viewer)
	revision := func() uint64 { state, _ := g.known(); return state.Revision().Number }
	withdrawNow := func(code policy.Code) {
		t.Helper()
		var planned api.Plan
		decode(t, ask(t, g, operator, "POST", "/v1/plan", api.Proposal{Set: withdraw(code)}).body, &planned)
		p := api.Proposal{Set: withdraw(code), Emergency: true, Because: "A raid.", Plan: planned.Plan.Hash}
		if got := ask(t, g, operator, "POST", "/v1/changes", p, g.ifMatch()); got.status != http.StatusCreated {
			t.Fatalf("%d\n%s", got.status, got.body)
		}
	}
	withdrawNow("RU")
	first := revision()
	page := fmt.Sprintf("/revisions/%d?done", first)
	if text := b.opens("GET", page, nil).Body.String(); !strings.Contains(text, "<b>It is in force</b>") {
		t.Errorf("it isn't said:\n%s", text)
	}
	withdrawNow("DE")
	if text := b.opens("GET", page, nil).Body.String(); strings.Contains(text, "<b>It is in force</b>") || !strings.Contains(text, fmt.Sprintf("revision %d</a>", revision())) {
		t.Errorf("after another one it is said:\n%s", text)
	}
}

// What gateways see of a market is a page.
func TestConsole_probe(t *testing.T) {
	g := newFixture(t)
	b := signedIn(t, g, viewer)
	w := b.opens("POST", "/markets/BY/probe", b.form())
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "All 1 requests get what the policy wants") || !strings.Contains(w.Body.String(), "gateway-1") {
		t.Errorf("%d\n%s", w.Code, w.Body)
	}
	if w := b.opens("POST", "/markets/XX/probe", b.form()); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "no jurisdiction in which") {
		t.Errorf("%d\n%s", w.Code, w.Body)
	}
	if w := b.opens("POST", "/markets/BY/probe", nil); w.Code != http.StatusForbidden {
		t.Errorf("without a token: %d", w.Code)
	}
}

// A file of evidence is downloaded; what can't be is a page that says why.
func TestConsole_evidence(t *testing.T) {
	g := newFixture(t)
	b := signedIn(t, g, viewer)
	w := b.opens("GET", "/markets/BY/evidence", nil)
	if f, err := evidence.Read(w.Body.Bytes()); err != nil || !f.Verify(f.Made.At).OK() || w.Header().Get("Content-Disposition") != `attachment; filename="evidence-BY.json"` {
		t.Errorf("%v, %v", err, w.Header())
	}
	if w := b.opens("GET", "/markets/EU/evidence", nil); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "neither a country") || w.Header().Get("Content-Disposition") != "" {
		t.Errorf("%d, %v\n%s", w.Code, w.Header(), w.Body)
	}
}

// Each code that a policy accepts has one tile, and a page is small.
func TestConsole_board(t *testing.T) {
	g := newFixture(t)
	b := signedIn(t, g, viewer)
	page := b.opens("GET", "/", nil).Body.String()
	for country := range iso3166.Countries() {
		if n := strings.Count(page, fmt.Sprintf("<b>%s</b>", country.Code)); n != 1 {
			t.Errorf("%s has %d tiles", country.Code, n)
		}
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(page)) // a buffer takes it
	_ = z.Close()
	total := zipped.Len()
	for _, asset := range regexp.MustCompile(`/assets/[^"]+`).FindAllString(page, -1) {
		w := b.opens("GET", asset, nil)
		zipped.Reset()
		z.Reset(&zipped)
		_, _ = z.Write(w.Body.Bytes())
		_ = z.Close()
		total += zipped.Len()
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d", asset, w.Code)
		}
	}
	const most = 60 << 10
	if total > most {
		t.Errorf("the page weighs %d bytes, zipped, with all that it needs: at most %d", total, most)
	}
}

// BenchmarkConsole measures the first page, with 250 countries and 1,000 subdivisions: shared
// with those who have looked just before, and made anew.
func BenchmarkConsole(b *testing.B) {
	var document strings.Builder
	document.WriteString("version: 1\njurisdictions:\n")
	n := 0
	for country := range iso3166.Countries() {
		for s := range iso3166.Subdivisions(country.Code) {
			if s.Parent == "" && n < 1000 && country.Code != "FR" {
				fmt.Fprintf(&document, "  %s: announced\n", s.Code)
				n++
			}
		}
	}
	for name, passes := range map[string]time.Duration{"shared": 0, "anew": time.Second} {
		b.Run(name, func(b *testing.B) {
			g := newFixtureOf(b, document.String(), admin.Limits{})
			browser := signedIn(b, g, socket)
			for b.Loop() {
				g.tick(passes)
				if w := browser.opens("GET", "/", nil); w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
