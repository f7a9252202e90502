package routes_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/policy/routes"
)

// The tests in this file hold routes against the real http.ServeMux. A small
// alphabet makes patterns and requests meet often.

var (
	someMethods  = rapid.SampledFrom([]string{"", "", "GET", "HEAD", "POST", "PROPFIND"})
	someHosts    = rapid.SampledFrom([]string{"", "", "", "a.example", "b.example"})
	someLiterals = rapid.SampledFrom([]string{"a", "b", "c", "a%2Fb", "%61", "%2F", "é", "a;b", "..."})
)

func drawPattern(t *rapid.T) string {
	var b strings.Builder
	if method := someMethods.Draw(t, "method"); method != "" {
		b.WriteString(method + " ")
	}
	b.WriteString(someHosts.Draw(t, "host"))
	for i := range rapid.IntRange(0, 3).Draw(t, "segments") {
		b.WriteString("/")
		if rapid.IntRange(0, 2).Draw(t, "wild") == 0 {
			fmt.Fprintf(&b, "{x%d}", i)
		} else {
			b.WriteString(someLiterals.Draw(t, "literal"))
		}
	}
	text := b.String()
	ending := rapid.SampledFrom([]string{"", "/", "/{$}", "/{rest...}"}).Draw(t, "ending")
	if ending == "" && !strings.Contains(text, "/") {
		ending = "/"
	}
	return text + ending
}

func drawPath(t *rapid.T) string {
	segments := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "a%2Fb", "%61", "%2F", "%2f", "%C3%A9", "a;b", "...", "%2e"}), 0, 4).Draw(t, "path")
	path := "/" + strings.Join(segments, "/")
	if len(segments) > 0 && rapid.Bool().Draw(t, "trailing slash") {
		path += "/"
	}
	return path
}

func parse(t interface{ Fatal(...any) }, text string) routes.Pattern {
	pattern, err := routes.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return pattern
}

// register registers patterns, and returns what ServeMux panics with.
func register(mux *http.ServeMux, patterns ...string) (conflict any) {
	defer func() { conflict = recover() }()
	for _, pattern := range patterns {
		mux.Handle(pattern, http.NotFoundHandler())
	}
	return nil
}

func TestMatch_asServeMux(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mux := http.NewServeMux()
		classes := map[string]routes.Class{"": routes.None}
		var rules []routes.Rule
		for i := range rapid.IntRange(1, 12).Draw(t, "patterns") {
			text := drawPattern(t)
			if register(mux, text) != nil {
				continue
			}
			class := routes.Class(i + 1)
			classes[text] = class
			rules = append(rules, routes.Rule{Class: class, Pattern: parse(t, text)})
		}
		table, conflicts := routes.New(rules)
		if conflicts != nil {
			t.Fatalf("ServeMux accepts what New refuses: %v", conflicts)
		}
		for range 20 {
			method := rapid.SampledFrom([]string{"GET", "HEAD", "POST", "PROPFIND", "PUT"}).Draw(t, "method")
			host := rapid.SampledFrom([]string{"", "a.example", "b.example", "c.example"}).Draw(t, "host")
			path := drawPath(t)
			request := httptest.NewRequest(method, path, nil)
			request.Host = host
			handler, pattern := mux.Handler(request)
			if redirects(handler, request) {
				continue
			}
			if got, want := table.Match(method, host, request.URL.EscapedPath()), classes[pattern]; got != want {
				t.Fatalf("%s %s%s is of class %d, want %d (%q)", method, host, path, got, want, pattern)
			}
			rule, found := table.Find(method, host, request.URL.EscapedPath())
			if found != (pattern != "") || found && rules[rule].Pattern.String() != pattern {
				t.Fatalf("%s %s%s is found in rule %d, %v; want %q", method, host, path, rule, found, pattern)
			}
		}
	})
}

func redirects(handler http.Handler, request *http.Request) bool {
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer.Code/100 == 3
}

func TestNew_conflictsAsServeMux(t *testing.T) {
	type pair struct{ a, b int }
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.Custom(drawPattern), 2, 12).Draw(t, "patterns")
		rules := make([]routes.Rule, len(texts))
		for i, text := range texts {
			rules[i] = routes.Rule{Class: routes.Class(rapid.IntRange(0, 3).Draw(t, "class")), Pattern: parse(t, text)}
		}
		// A rule that repeats another one has the same conflicts, and New
		// doesn't report them twice.
		repeats := func(i int) bool {
			for _, earlier := range rules[:i] {
				if earlier.Class == rules[i].Class && shape(earlier.Pattern.String()) == shape(texts[i]) {
					return true
				}
			}
			return false
		}
		want := map[pair]bool{}
		for b := range rules {
			for a := range b {
				if rules[a].Class != rules[b].Class && register(http.NewServeMux(), texts[a], texts[b]) != nil && !repeats(a) && !repeats(b) {
					want[pair{a, b}] = true
				}
			}
		}
		table, conflicts := routes.New(rules)
		if (table == nil) != (len(conflicts) > 0) {
			t.Fatalf("a table or conflicts, not %v and %v", table, conflicts)
		}
		for _, c := range conflicts {
			if !want[pair{c.A, c.B}] {
				t.Fatalf("ServeMux sees no conflict of %q and %q: %s", texts[c.A], texts[c.B], c.Reason)
			}
			delete(want, pair{c.A, c.B})
			shared := c.Reason
			if _, after, ok := strings.Cut(shared, " both match "); ok {
				shared, _, _ = strings.Cut(after, ", and neither")
				matchesBoth(t, shared[1:len(shared)-1], rules[c.A], rules[c.B])
			}
		}
		for p := range want {
			t.Fatalf("no conflict of %q and %q reported", texts[p.a], texts[p.b])
		}
	})
}

// shape returns a pattern in which what doesn't matter to its matches is the
// same in all patterns.
func shape(pattern string) string {
	pattern = strings.ReplaceAll(pattern, "/{rest...}", "/")
	pattern = strings.ReplaceAll(pattern, "%61", "a")
	if before, ok := strings.CutSuffix(pattern, "/%2F"); ok {
		pattern = before + "/{$}"
	}
	return pattern
}

// matchesBoth checks the example that a Conflict gives.
func matchesBoth(t *rapid.T, example string, rules ...routes.Rule) {
	method, target, found := strings.Cut(example, " ")
	if !found {
		method, target = "GET", example
	}
	i := strings.IndexByte(target, '/')
	host, path := target[:i], target[i:]
	if _, err := url.ParseRequestURI(path); err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules {
		table, _ := routes.New([]routes.Rule{rule})
		if _, found := table.Find(method, host, path); !found {
			t.Fatalf("%q doesn't match the example %q", rule.Pattern, example)
		}
	}
}

// A request that several rules of one class match is of that class also where
// rules of other classes match it.
func TestMatch_overlappingRulesOfOneClass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.Custom(drawPattern), 2, 8).Draw(t, "patterns")
		rules := make([]routes.Rule, len(texts))
		for i, text := range texts {
			rules[i] = routes.Rule{Class: routes.Class(rapid.IntRange(1, 2).Draw(t, "class")), Pattern: parse(t, text)}
		}
		table, conflicts := routes.New(rules)
		if conflicts != nil {
			t.Skip("conflicts between classes")
		}
		method, host, path := "GET", "a.example", drawPath(t)
		got := table.Match(method, host, path)
		// Any most specific rule decides: one whose pattern wins against each
		// other one that matches and isn't in conflict with it.
		for i, rule := range rules {
			alone, _ := routes.New(rules[i : i+1])
			if _, found := alone.Find(method, host, path); !found {
				continue
			}
			wins := true
			for j, other := range rules {
				two, conflicts := routes.New([]routes.Rule{{Class: 1, Pattern: rule.Pattern}, {Class: 2, Pattern: other.Pattern}})
				if i != j && conflicts == nil && two.Match(method, host, path) == 2 {
					wins = false
				}
			}
			if wins && got != rule.Class {
				t.Fatalf("%s is of class %d, but %q of class %d is among the most specific", path, got, rule.Pattern, rule.Class)
			}
		}
	})
}
