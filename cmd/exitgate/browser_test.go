//go:build integration

package main

import (
	"context"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "`folder` to write pictures of pages to, as PNG")

// TestABrowserShowsTheNoticeAsItIsMeant opens what refused people see in a
// real browser, which judges by the page's own Content-Security-Policy.
func TestABrowserShowsTheNoticeAsItIsMeant(t *testing.T) {
	requireProgram(t, "chromium")
	app := httptest.NewServer(http.NotFoundHandler())
	defer app.Close()
	g := startServe(t, app.URL)
	browser := startBrowser(t)

	for _, c := range []struct {
		name, path, languages string
		width, height         int64
		scheme                string
		lang, dir             string
	}{
		{"a notice on a desktop", "/", "en", 1280, 860, "light", "en", "ltr"},
		{"a notice in the dark", "/", "en", 1280, 860, "dark", "en", "ltr"},
		{"a notice on a phone, in the market's language", "/", "xx", 390, 844, "light", "fr", "ltr"},
		{"a notice from right to left", "/", "ar", 390, 844, "light", "ar", "rtl"},
		{"a notice in Japanese", "/", "ja", 390, 844, "dark", "ja", "ltr"},
		{"the market status on a desktop", "/.well-known/market-status", "en", 1280, 860, "light", "en", "ltr"},
		{"the market status on a phone", "/.well-known/market-status", "de", 390, 844, "dark", "de", "ltr"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var seen pageEvents
			tab, close := chromedp.NewContext(browser, chromedp.WithListener(seen.event))
			defer close()
			runCDP(t, tab, network.Enable, network.EnableParams{})
			runCDP(t, tab, log.Enable, cdp.Empty{})
			runCDP(t, tab, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
				Headers: network.Headers{"X-Forwarded-For": fromFrance, "Accept-Language": c.languages}})
			runCDP(t, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: c.scheme}}})
			if err := chromedp.Do(tab, chromedp.EmulateViewport(c.width, c.height), chromedp.Navigate("https://"+g.https+c.path)); err != nil {
				t.Fatal(err)
			}
			page, err := chromedp.Run(tab, chromedp.Evaluate[appearance](`({
				lang: document.documentElement.lang.split("-")[0], dir: document.documentElement.dir,
				background: getComputedStyle(document.body).backgroundColor,
				width: document.documentElement.scrollWidth, shown: document.documentElement.clientWidth,
			})`))
			if err != nil {
				t.Fatal(err)
			}
			picture, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
			if err != nil {
				t.Fatal(err)
			}
			if page.Lang != c.lang || page.Dir != c.dir {
				t.Errorf("language %q, direction %q; want %q, %q", page.Lang, page.Dir, c.lang, c.dir)
			}
			if page.Background == "rgba(0, 0, 0, 0)" {
				t.Error("the page has no style: its Content-Security-Policy forbids it")
			}
			if dark := darkness(page.Background); dark != (c.scheme == "dark") {
				t.Errorf("the background is %s in a %s scheme", page.Background, c.scheme)
			}
			if page.Width > page.Shown {
				t.Errorf("the page is %d wide, the window %d", page.Width, page.Shown)
			}
			requests, complaints := seen.all()
			if len(requests) != 1 {
				t.Errorf("the page asks for more than itself: %q", requests)
			}
			if len(complaints) > 0 {
				t.Errorf("the browser complains: %q", complaints)
			}
			if *screenshots != "" {
				file := filepath.Join(*screenshots, strings.NewReplacer(" ", "-", ",", "").Replace(c.name)+".png")
				if err := os.WriteFile(file, picture, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// startBrowser starts a Chromium that asks nobody for anything by itself.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	options := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath("chromium"),
		chromedp.NoSandbox, // CI runs as root
		chromedp.IgnoreCertErrors,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	})
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	browser, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(browser) // it is gone either way
		closeBrowser()
	})
	if err := chromedp.Do(browser); err != nil {
		t.Fatal(err)
	}
	return browser
}

// runCDP calls a command of the browser.
func runCDP[P, R any](t *testing.T, tab context.Context, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(tab, command, params); err != nil {
		t.Fatal(err)
	}
}

// An appearance is what a page looks like to the browser.
type appearance struct {
	Lang       string `json:"lang"`
	Dir        string `json:"dir"`
	Background string `json:"background"`
	Width      int    `json:"width"`
	Shown      int    `json:"shown"`
}

// pageEvents notes what a tab asks for, and what the browser has to say of it.
type pageEvents struct {
	mu                   sync.Mutex
	requests, complaints []string
}

func (w *pageEvents) event(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		w.requests = append(w.requests, e.Request.URL)
	case *log.EventEntryAdded:
		// That the notice is an error is what it is meant to be.
		if !strings.Contains(e.Entry.Text, "451") {
			w.complaints = append(w.complaints, e.Entry.Text)
		}
	}
}

func (w *pageEvents) all() (requests, complaints []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.requests), slices.Clone(w.complaints)
}

// darkness reports whether a colour as "rgb(16, 22, 20)" is a dark one.
func darkness(color string) bool {
	return strings.HasPrefix(color, "rgb(1") || strings.HasPrefix(color, "rgb(2,") || strings.HasPrefix(color, "rgb(3")
}
