package routes_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/policy/routes"
)

func pattern(t interface{ Fatal(...any) }, text string) routes.Pattern {
	p, err := routes.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOverlaps(t *testing.T) {
	for _, test := range []struct {
		a, b string
		meet bool
	}{
		{"/", "/news/", true},
		{"/news", "/news", true},
		{"/news", "/news/", false},
		{"/news/", "/chat/", false},
		{"/news/{id}", "/news/today", true},
		{"/news/{id}", "/news/", true},
		{"/news/{id}", "/news/today/all", false},
		{"/{any...}", "/news/today", true},
		{"/news/{$}", "/news/today", false},
		{"GET /news/", "POST /news/", false},
		{"GET /news/", "HEAD /news/", true},
		{"GET /news/", "/news/today", true},
		{"a.example.org/news/", "b.example.org/news/", false},
		{"a.example.org/news/", "/news/", true},
	} {
		a, b := pattern(t, test.a), pattern(t, test.b)
		if a.Overlaps(b) != test.meet || b.Overlaps(a) != test.meet {
			t.Errorf("%s and %s: %t and %t, want %t", a, b, a.Overlaps(b), b.Overlaps(a), test.meet)
		}
	}
}

func TestOverlaps_ofPatternsThatMatchTheSameRequest(t *testing.T) {
	texts := []string{"/", "/{$}", "/a", "/a/", "/a/{$}", "/{x}", "/{x}/", "/a/b", "/{x}/b", "/a/{y}", "/a/{y...}", "GET /a/", "HEAD /a/", "h/a/", "h/{x}/b", "g/"}
	rapid.Check(t, func(t *rapid.T) {
		a, b := pattern(t, rapid.SampledFrom(texts).Draw(t, "a")), pattern(t, rapid.SampledFrom(texts).Draw(t, "b"))
		method := rapid.SampledFrom([]string{"GET", "HEAD", "POST"}).Draw(t, "method")
		host := rapid.SampledFrom([]string{"g", "h", ""}).Draw(t, "host")
		path := rapid.SampledFrom([]string{"/", "/a", "/a/", "/a/b", "/b", "/b/", "/b/b", "/a/b/c", "/%61/b", "/a/%2F"}).Draw(t, "path")
		matches := func(p routes.Pattern) bool {
			table, _ := routes.New([]routes.Rule{{Class: 1, Pattern: p}})
			return table.Match(method, host, path) == 1
		}
		if matches(a) && matches(b) && !a.Overlaps(b) {
			t.Fatalf("%s %s%s matches %s and %s", method, host, path, a, b)
		}
	})
}
