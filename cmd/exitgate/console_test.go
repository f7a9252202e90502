//go:build integration

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/testkit"
)

// A person looks at the console in a browser of their own.
type person struct {
	t    *testing.T
	tab  context.Context
	seen pageEvents
}

func newPerson(t *testing.T, browser context.Context) *person {
	t.Helper()
	p := &person{t: t}
	tab, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.seen.event))
	t.Cleanup(end)
	p.tab = tab
	runCDP(t, tab, network.Enable, network.EnableParams{})
	runCDP(t, tab, log.Enable, cdp.Empty{})
	return p
}

// does something on a page.
func (p *person) does(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.tab, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		text, _ := chromedp.Run(p.tab, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
		p.t.Fatalf("%v, on\n%.3000s", err, text)
	}
}

// sees waits until a page is as an expression says.
func (p *person) sees(what, expression string) {
	p.t.Helper()
	defer func() {
		if p.t.Failed() {
			text, _ := chromedp.Run(p.tab, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
			p.t.Logf("the page is\n%.3000s", text)
		}
	}()
	runCDP(p.t, p.tab, page.BringToFront, cdp.Empty{}) // what is in the background doesn't follow
	testkit.Eventually(p.t, what, func() bool {
		is, err := chromedp.Run(p.tab, chromedp.Evaluate[bool](expression))
		return err == nil && is
	})
}

// shoots keeps a picture for the documentation.
func (p *person) shoots(name string) {
	p.t.Helper()
	if *screenshots == "" {
		return
	}
	p.does(chromedp.EmulateViewport(1280, 860))
	picture, err := chromedp.Run(p.tab, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	testkit.WriteFile(p.t, filepath.Join(*screenshots, "console-"+name+".png"), string(picture))
}

// pictures keeps what a page looks like, and finds what keeps people out of it.
func (p *person) pictures(name string) {
	p.t.Helper()
	p.isAccessible(name)
	p.fits(name)
	if *screenshots == "" {
		return
	}
	for _, look := range []struct {
		name, scheme  string
		width, height int64
	}{{"light", "light", 1440, 1000}, {"dark", "dark", 1440, 1000}, {"phone", "light", 390, 844}} {
		runCDP(p.t, p.tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}}})
		p.does(chromedp.EmulateViewport(look.width, look.height))
		picture, err := chromedp.Run(p.tab, chromedp.FullScreenshot(100))
		if err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*screenshots, "console-"+name+"-"+look.name+".png"), picture, 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
	p.does(chromedp.EmulateViewport(1440, 1000))
}

// fits finds out whether a page is as wide as a small phone, so that nobody scrolls sideways.
func (p *person) fits(name string) {
	p.t.Helper()
	p.does(chromedp.EmulateViewport(320, 640))
	wide, err := chromedp.Run(p.tab, chromedp.Evaluate[[]string](`document.documentElement.scrollWidth <= 320 ? [] : [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > 320.5 && !e.closest(".scroll, .keys, pre, .vh")).map(e => e.tagName + "." + e.className + "#" + e.id + " " + Math.round(e.getBoundingClientRect().right))`))
	if err != nil || len(wide) > 0 {
		p.t.Errorf("%s is wider than 320 px: %.2000q, %v", name, wide, err)
	}
	p.does(chromedp.EmulateViewport(1440, 1000))
}

// readAxe reads axe-core, which npm fetches. Without it a newcomer's test looks at less.
var readAxe = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile("testdata/axe/node_modules/axe-core/axe.min.js")
	return string(text), err
})

// isAccessible has axe-core look at a page, by day and by night.
func (p *person) isAccessible(name string) {
	p.t.Helper()
	axe, err := readAxe()
	if err != nil {
		if os.Getenv("CI") != "" {
			p.t.Fatalf("run npm ci in cmd/exitgate/testdata/axe: %v", err)
		}
		return
	}
	for _, scheme := range []string{"light", "dark"} {
		runCDP(p.t, p.tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		found, err := chromedp.Run(p.tab, chromedp.Evaluate[[]string](axe+`;axe.run().then(r => r.violations.map(v => v.id + ": " + v.nodes.map(n => n.target.join(" ")).slice(0, 4).join(", ")))`, chromedp.EvalAwaitPromise))
		if err != nil || len(found) > 0 {
			p.t.Errorf("%s, %s: %q, %v", name, scheme, found, err)
		}
	}
}

// consolePolicy has France leave in five days, by the clock of the gateway.
func consolePolicy(now time.Time) string {
	day := func(n int) string { return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, n).Format(time.RFC3339) }
	return strings.NewReplacer("{soon}", day(2), "{exit}", day(5), "{before}", now.UTC().AddDate(0, -2, 0).Format(time.DateOnly)).Replace(`version: 1
approvals: {withdraw: 1, open: 1}
routes: {news: ["/news/"], sign-up: ["POST /signup"], export: ["/export"]}
guarantees: {end-to-end-encryption: {require: true}}
demands:
  fr-narcotrafic-8ter:
    jurisdiction: FR
    territories: [GF]
    title: Access to encrypted private messages
    authority: Sénat
    stages: [{stage: proposed, date: 2025-01-28}, {stage: adopted, date: {before}, in-force: "{exit}"}]
    requires: {end-to-end-encryption: false}
  eu-csar: {jurisdiction: DE, title: Regulation to prevent child sexual abuse, stage: proposed, requires: {end-to-end-encryption: false}}
jurisdictions:
  FR: {schedule: [{from: "{soon}", phase: wind-down}, {from: "{exit}", phase: withdrawn}], territories: [GF], because: [fr-narcotrafic-8ter]}
  IT: withdrawn
`)
}

// Issue 13: two people withdraw a market and take it back, in browsers of their own, and
// each sees what the other does without loading the page again.
func TestConsole(t *testing.T) {
	t.Parallel()
	requireProgram(t, "chromium")
	m := newLedgerGateway(t)
	m.restart()
	m.apply(consolePolicy(time.Now()), "The first policy of the test.")
	for name, roles := range map[string]string{"grace": "approver", "vera": "viewer"} {
		m.mustRun("principal", "add", name, "--role", roles, "--because", "A test.")
		testkit.WriteFile(t, m.file(name), m.mustRun("principal", "token", name, "--expires", "24h", "--because", "A test.").out)
	}
	browser := startBrowser(t)
	anna, grace, vera := newPerson(t, browser), newPerson(t, browser), newPerson(t, browser)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	link := m.openConsole(ctx)
	base, _, _ := strings.Cut(link, "/sign-in")
	anna.does(chromedp.Navigate(link))
	anna.pictures("sign-in")
	anna.does(chromedp.Click("button.go"))
	anna.shows("Markets")
	stale := newPerson(t, browser)
	stale.does(chromedp.Navigate(link))
	stale.sees("that a link signs in once", `document.querySelector("[role=alert]")?.textContent.includes("used already")`)
	for _, p := range []struct {
		*person
		name string
	}{{grace, "grace"}, {vera, "vera"}} {
		token, err := os.ReadFile(m.file(p.name))
		if err != nil {
			t.Fatal(err)
		}
		p.does(chromedp.Navigate("http://"+m.admin+"/changes"), chromedp.SendKeys("#tok", strings.TrimSpace(string(token))), chromedp.Click("button.btn"))
		p.shows("Changes")
	}

	// A withdrawal: chosen, planned while it is typed, confirmed by the name, sent.
	for range 40 {
		m.gets("FR")
		m.gets("DE")
		m.gets("IT")
	}
	anna.does(chromedp.Navigate(base+"/markets/ES/change"), chromedp.Click("input[value=withdrawn]"))
	anna.sees("the plan", `!!document.querySelector("#would .words")`)
	anna.does(chromedp.SendKeys("#because", "The law of Spain is adopted."))
	anna.sees("that it can't be sent before the name is typed", `document.querySelector("button[value=propose]").disabled`)
	anna.does(chromedp.SendKeys("#typed", "spain"))
	anna.sees("that it can be sent", `!document.querySelector("button[value=propose]").disabled`)
	anna.pictures("change")
	anna.shoots("change")
	anna.does(chromedp.Click("button[value=propose]"))
	anna.shows("Changes")
	anna.sees("that it can't approve its own", `document.querySelector(".prop button.go").disabled`)
	if status := m.gets("ES"); status != http.StatusOK {
		t.Errorf("before the approval a client in Spain gets %d", status)
	}
	vera.sees("the change, and nothing to press", `document.querySelector(".prop h2")?.textContent.includes("ES") && !document.querySelector("main button")`)
	vera.pictures("viewer")
	grace.sees("the change without loading the page again", `document.querySelector(".prop h2")?.textContent.includes("ES open → withdrawn")`)
	grace.pictures("changes")
	anna.does(chromedp.Navigate(base + "/"))
	anna.shows("Markets")
	anna.sees("that Spain is open", `document.querySelector(".t[href='/markets/ES']").classList.contains("op")`)
	// What is edited while a page is open isn't approved unread.
	var waits api.Changes
	if err := json.Unmarshal([]byte(m.mustRun("changes", "--json").out), &waits); err != nil {
		t.Fatal(err)
	}
	number := fmt.Sprint(waits.Changes[0].Number)
	for _, phase := range []string{"wind-down", "withdrawn"} {
		m.mustRun("set", "ES", phase, "--change", number, "--because", "Not what it was.")
		grace.sees("what it is now", `document.querySelector(".prop h2")?.textContent.includes("ES open → `+phase+`")`)
		grace.does(chromedp.Click(".prop button.go"))
		grace.sees("that it was edited", `document.querySelector(".prop [role=alert]")?.textContent.includes("Nothing was approved")`)
	}
	if status := m.gets("ES"); status != http.StatusOK {
		t.Errorf("after an approval of what was edited meanwhile a client in Spain gets %d", status)
	}
	grace.does(chromedp.SendKeys("[id^=ap]", "Read."), chromedp.Click(".prop button.go"))
	grace.sees("what came into force", `document.querySelector("h1")?.textContent === "ES open → withdrawn"`)
	grace.pictures("revision")
	anna.sees("Spain withdrawn without loading the page again", `document.querySelector(".t[href='/markets/ES']").classList.contains("gone")`)
	anna.shoots("markets")
	anna.pictures("markets")
	if status := m.gets("ES"); status != http.StatusUnavailableForLegalReasons {
		t.Errorf("a client in Spain gets %d", status)
	}

	anna.does(chromedp.Navigate(base+"/markets/ES"), chromedp.Click("form[action$='/probe'] button"))
	anna.sees("it refuse", `document.querySelector("[role=status].note")?.textContent.includes("get what the policy wants") && document.querySelector("main table").textContent.includes("refused, 451")`)
	anna.isAccessible("probe")
	anna.pictures("probe")

	// Two at once: what was read isn't what would be done by now.
	anna.does(chromedp.Navigate(base+"/markets/DE/change"), chromedp.Click("input[value=wind-down]"))
	anna.sees("the plan", `!!document.querySelector("#would .words")`)
	m.mustRun("set", "DE", "announced", "--because", "By somebody else.", "--emergency")
	anna.does(chromedp.SendKeys("#because", "Not what it seems."), chromedp.SendKeys("#typed", "DE"), chromedp.Click("button[value=propose]"))
	anna.sees("that it would do something else", `document.querySelector("#problem")?.textContent.includes("something else by now") && document.querySelector("#because").value === "Not what it seems."`)

	// An emergency, which is signed; and then it is taken back.
	anna.does(chromedp.Navigate(base + "/emergency?market=Germany"))
	anna.does(chromedp.Click("input[value=wind-down]"))
	anna.sees("what that does", `document.querySelector("#does .words")?.textContent.toLowerCase().includes("wind-down")`)
	anna.does(chromedp.Click("input[value=withdrawn]"))
	anna.sees("what that does", `!document.querySelector("#does .words")?.textContent.toLowerCase().includes("wind-down")`)
	anna.does(chromedp.SendKeys("#because", "A search."), chromedp.SendKeys("#typed", "Germany"), chromedp.Click("[name=read]"))
	anna.pictures("emergency")
	anna.does(chromedp.Click("button[value=propose]"))
	anna.sees("that it is in force", `document.querySelector(".note")?.textContent.includes("in force")`)
	if status := m.gets("DE"); status != http.StatusUnavailableForLegalReasons {
		t.Errorf("after the emergency a client in Germany gets %d", status)
	}
	grace.does(chromedp.Navigate("http://" + m.admin + "/changes"))
	grace.does(chromedp.Click(".now-only button.go"))
	grace.sees("that one is left to sign", `document.querySelectorAll(".now-only").length === 1`)
	grace.does(chromedp.Click(".now-only button.go"))
	grace.sees("that nothing is to be signed", `!document.querySelector(".now-only")`)
	revision := m.status().Revision
	anna.does(chromedp.Navigate(fmt.Sprintf("%s/revisions/%d", base, revision)), chromedp.Click(".head .btn"))
	anna.shows(fmt.Sprintf("Undo revision %d", revision))
	anna.does(chromedp.SendKeys("#because", "It is over."), chromedp.Click("button[value=propose]"))
	anna.sees("that it is taken back, alone and within ten minutes", `document.querySelector("h1")?.textContent === "DE withdrawn → announced" && document.querySelector("main").textContent.includes("an emergency")`)
	grace.sees("that it is to be signed", `document.querySelector(".now-only h2")?.textContent.includes("DE withdrawn → announced")`)
	if status := m.gets("DE"); status != http.StatusOK {
		t.Errorf("undone, a client in Germany gets %d", status)
	}

	// A stage of a demand.
	anna.does(chromedp.Navigate(base+"/demands"), chromedp.SetValue("#demand", "eu-csar"), chromedp.SetValue("#stage", "rejected"), chromedp.SendKeys("#because", "It was voted down."), chromedp.Click("button[value=plan]"))
	anna.sees("the plan of the stage", `!!document.querySelector("button[value=propose]")`)
	anna.pictures("demands")

	for _, target := range []string{"/?view=table&q=an", "/markets/FR", "/explain?address=FR&path=/news/", "/log?verified", "/account"} {
		anna.does(chromedp.Navigate(base + target))
		anna.pictures(strings.NewReplacer("/", "-", "?", "-", "=", "-", "&", "-").Replace(target[1:]))
	}
	anna.does(chromedp.Navigate(base+"/account"), chromedp.Click("main button.go"))
	anna.sees("that anna is signed out", `location.pathname === "/sign-in"`)
	for _, p := range []*person{anna, grace, vera} {
		requests, complaints := p.seen.all()
		for _, asked := range requests {
			if !strings.HasPrefix(asked, base+"/") && !strings.HasPrefix(asked, "http://"+m.admin+"/") {
				t.Errorf("a page asks for %s", asked)
			}
		}
		for _, complaint := range complaints {
			if !strings.Contains(complaint, "409 (Conflict)") { // as it was meant to be
				t.Errorf("a browser complains: %s", complaint)
			}
		}
	}
}

// While a gateway knows no policy, the console says so, and goes on by itself once there is one.
func TestConsole_withoutAPolicy(t *testing.T) {
	t.Parallel()
	requireProgram(t, "chromium")
	f := newFleet(t, 1)
	g := f.newMember("late")
	f.cutOff(g)
	if !g.run() {
		t.Fatalf("it doesn't start:\n%s", g.log)
	}
	g.stopsWithTheTest()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p := newPerson(t, startBrowser(t))
	p.does(chromedp.Navigate(g.openConsole(ctx)), chromedp.Click("button.go"))
	p.shows("No policy is known yet")
	p.pictures("without-a-policy")
	f.mend(g)
	p.shows("Markets")
}

// shows waits until a page has a heading.
func (p *person) shows(heading string) {
	p.t.Helper()
	p.sees("the page "+heading, fmt.Sprintf("document.querySelector('h1')?.textContent === %q && document.getElementById('live').textContent === 'Live'", heading))
}
