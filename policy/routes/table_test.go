package routes_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/policy/routes"
)

// tableOf gives each pattern a class of its own: its index from 1.
func tableOf(t testing.TB, patterns ...string) *routes.Table {
	t.Helper()
	rules := make([]routes.Rule, len(patterns))
	for i, text := range patterns {
		rules[i] = routes.Rule{Class: routes.Class(i + 1), Pattern: parse(t, text)}
	}
	table, conflicts := routes.New(rules)
	for _, c := range conflicts {
		t.Fatal(c.Reason)
	}
	return table
}

func TestMatch(t *testing.T) {
	for name, test := range map[string]struct {
		patterns []string
		requests map[string]string // METHOD HOST/PATH: the pattern that decides, or nothing
	}{
		"a slash at the end matches all below, and the slash": {
			[]string{"/invite/"},
			map[string]string{
				"GET any.example/invite":     "", // ServeMux would redirect
				"GET any.example/invite/":    "/invite/",
				"GET any.example/invite/a":   "/invite/",
				"GET any.example/invite/a/b": "/invite/",
				"GET any.example/invite//":   "/invite/",
			},
		},
		"{$} matches the slash only": {
			[]string{"/{$}", "/docs/{$}"},
			map[string]string{
				"GET any.example":        "/{$}",
				"GET any.example/":       "/{$}",
				"GET any.example/a":      "",
				"GET any.example/docs":   "",
				"GET any.example/docs/":  "/docs/{$}",
				"GET any.example/docs/a": "",
			},
		},
		"the more specific path wins": {
			[]string{"/", "/{a}", "/a", "/a/{b}", "/a/b", "/a/b/{$}", "/a/{b}/c", "/a/{rest...}"},
			map[string]string{
				"GET any.example/":        "/",
				"GET any.example/x":       "/{a}",
				"GET any.example/x/":      "/",
				"GET any.example/a":       "/a",
				"GET any.example/x/b":     "/",
				"GET any.example/a/b":     "/a/b",
				"GET any.example/a/":      "/a/{rest...}",
				"GET any.example/a/x":     "/a/{b}",
				"GET any.example/a/b/":    "/a/b/{$}",
				"GET any.example/a/b/c":   "/a/{b}/c",
				"GET any.example/a/b/d":   "/a/{rest...}",
				"GET any.example/x/b/c/d": "/",
			},
		},
		"a pattern with the host wins over one without, however specific": {
			[]string{"/news/today", "news.example.com/", "POST shop.example.com/cart"},
			map[string]string{
				"GET news.example.com/news/today": "news.example.com/",
				"GET any.example/news/today":      "/news/today",
				"GET shop.example.com/news/today": "/news/today",
				"GET shop.example.com/cart":       "",
				"POST shop.example.com/cart":      "POST shop.example.com/cart",
				"GET www.news.example.com/":       "",
				"GET /news/today":                 "/news/today",
			},
		},
		"segments are decoded one by one": {
			[]string{"/signup", "/caf%C3%A9", "/größe", "/a%2fb", "/a/b", "/100%25"},
			map[string]string{
				"GET any.example/sign%75p":                      "/signup",
				"GET any.example/%73%69gnup":                    "/signup",
				"GET any.example/caf%c3%a9":                     "/caf%C3%A9",
				"GET any.example/gr%C3%B6%C3%9Fe":               "/größe",
				"GET any.example/a%2Fb":                         "/a%2fb",
				"GET any.example/a/b":                           "/a/b",
				"GET any.example/100%25":                        "/100%25",
				"GET any.example/sign%2575p":                    "",
				"GET any.example/" + strings.Repeat("%61", 300): "",
				"GET any.example/" + strings.Repeat("%61", 200): "",
			},
		},
		"paths are matched as they stand": {
			[]string{"/a/b", "/a/{x}/b", "/a"},
			map[string]string{
				"GET any.example/a/./b":    "/a/{x}/b",
				"GET any.example/a//b":     "/a/{x}/b",
				"GET any.example/x/../a/b": "",
				"GET any.example//a/b":     "",
			},
		},
		"what is no path matches nothing": {
			[]string{"/", "any.example/"},
			map[string]string{
				"OPTIONS *": "",
				"GET a":     "",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			table := tableOf(t, test.patterns...)
			for request, want := range test.requests {
				method, target, _ := strings.Cut(request, " ")
				host, path := target, ""
				if i := strings.IndexByte(target, '/'); i >= 0 {
					host, path = target[:i], target[i:]
				} else if !strings.Contains(target, ".") {
					host, path = "any.example", target
				}
				got := ""
				if rule, found := table.Find(method, host, path); found {
					got = test.patterns[rule]
				}
				if got != want {
					t.Errorf("%s is decided by %q, want %q", request, got, want)
				}
				if class := table.Match(method, host, path); (class == routes.None) != (want == "") || want != "" && test.patterns[class-1] != want {
					t.Errorf("%s is of class %d", request, class)
				}
			}
		})
	}
}

func TestMatch_ruleOfClassNone(t *testing.T) {
	table, _ := routes.New([]routes.Rule{
		{Class: 1, Pattern: parse(t, "/legal/")},
		{Class: routes.None, Pattern: parse(t, "/legal/drafts/")},
	})
	if class := table.Match("GET", "", "/legal/drafts/1"); class != routes.None {
		t.Errorf("class %d", class)
	}
	if rule, found := table.Find("GET", "", "/legal/drafts/1"); rule != 1 || !found {
		t.Errorf("rule %d, %v", rule, found)
	}
}

func TestMatch_zeroValues(t *testing.T) {
	var none routes.Table
	withZero, conflicts := routes.New([]routes.Rule{{Class: 1}})
	if conflicts != nil {
		t.Fatal(conflicts)
	}
	for _, table := range []*routes.Table{&none, withZero} {
		if r := table.Classify("GET", "any.example", "/"); r != (routes.Readings{}) {
			t.Errorf("%+v", r)
		}
	}
}

func TestNew_conflict(t *testing.T) {
	patterns := []string{
		"/a/{x}", "/{y}/b", "GET /c/", "/c/d", "/e/{x...}", "/e/",
		"one.example/{x}/b", "one.example/a/{y}", "GET /f%20g/{x}/", "HEAD /{y}/h/{$}",
		"POST /a/{x}", "GET /i", "POST /i", "two.example/i", "/{$}", "/{one}",
	}
	rules := make([]routes.Rule, len(patterns))
	for i, text := range patterns {
		rules[i] = routes.Rule{Class: routes.Class(i), Pattern: parse(t, text)}
	}
	table, conflicts := routes.New(rules)
	if table != nil {
		t.Error("a table in spite of conflicts")
	}
	want := []routes.Conflict{
		{A: 0, B: 1, Reason: `"/a/{x}" and "/{y}/b" both match "/a/b", and neither is more specific`},
		{A: 1, B: 2, Reason: `"/{y}/b" and "GET /c/" both match "GET /c/b", and neither is more specific`},
		{A: 1, B: 4, Reason: `"/{y}/b" and "/e/{x...}" both match "/e/b", and neither is more specific`},
		{A: 1, B: 5, Reason: `"/{y}/b" and "/e/" both match "/e/b", and neither is more specific`},
		{A: 1, B: 10, Reason: `"/{y}/b" and "POST /a/{x}" both match "POST /a/b", and neither is more specific`},
		{A: 2, B: 3, Reason: `"GET /c/" and "/c/d" both match "GET /c/d", and neither is more specific`},
		{A: 2, B: 9, Reason: `"GET /c/" and "HEAD /{y}/h/{$}" both match "HEAD /c/h/", and neither is more specific`},
		{A: 4, B: 5, Reason: `"/e/{x...}" and "/e/" match the same requests`},
		{A: 4, B: 9, Reason: `"/e/{x...}" and "HEAD /{y}/h/{$}" both match "HEAD /e/h/", and neither is more specific`},
		{A: 5, B: 9, Reason: `"/e/" and "HEAD /{y}/h/{$}" both match "HEAD /e/h/", and neither is more specific`},
		{A: 6, B: 7, Reason: `"one.example/{x}/b" and "one.example/a/{y}" both match "one.example/a/b", and neither is more specific`},
	}
	want = append(want, routes.Conflict{A: 8, B: 9, Reason: `"GET /f%20g/{x}/" and "HEAD /{y}/h/{$}" both match "HEAD /f%20g/h/", and neither is more specific`})
	for i := range max(len(want), len(conflicts)) {
		switch {
		case i >= len(conflicts):
			t.Errorf("missing %v", want[i])
		case i >= len(want):
			t.Errorf("too much: %v", conflicts[i])
		case conflicts[i] != want[i]:
			t.Errorf("got %v\nwant %v", conflicts[i], want[i])
		}
	}
}

func TestNew_conflictsUpToALimit(t *testing.T) {
	var rules []routes.Rule
	for i := range 200 {
		rules = append(rules,
			routes.Rule{Class: 1, Pattern: parse(t, "/{x}/b"+strconv.Itoa(i))},
			routes.Rule{Class: 2, Pattern: parse(t, "/a"+strconv.Itoa(i)+"/{y}")})
	}
	if _, conflicts := routes.New(rules); len(conflicts) != 1000 {
		t.Errorf("%d conflicts", len(conflicts))
	}
}

// Issue 10, E: wildcards below two parents, one of which is a wildcard itself.
func TestNew_conflictOfWildcardsBelowTwoParents(t *testing.T) {
	for _, test := range []struct {
		a, b     string
		conflict bool
	}{
		{"/{x}/{y}/b", "/a/{z}/{w}", true},
		{"/a/{z}/{w}", "/{x}/{y}/b", true},
		{"/{x}/{y}/b", "/a/{z}/{w...}", true},
		{"/{x}/{y}/b", "/a/{z}/b", false}, // more specific
		{"/{x}/{y}/b", "/a/{z}/c", false}, // share nothing
		{"/{x}/{y}/b", "/a/{z}/{$}", false},
		{"/{x}/{y}/{z}", "/a/{w}/b", false},
		{"/{x}/{y}/b/{v}", "/a/{z}/{w}/c", true},
	} {
		_, conflicts := routes.New([]routes.Rule{{Class: 1, Pattern: parse(t, test.a)}, {Class: 2, Pattern: parse(t, test.b)}})
		if (len(conflicts) == 1) != test.conflict {
			t.Errorf("%s and %s: %v", test.a, test.b, conflicts)
		}
	}
}
