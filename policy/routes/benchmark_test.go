package routes_test

import (
	"fmt"
	"testing"

	"github.com/exitgate/exitgate/policy/routes"
)

// manyRules are like an operator's: an API's resources, pages, subtrees and
// hosts, sorted into a few classes.
func manyRules(n int) []routes.Rule {
	shapes := []string{
		"/api/v1/resource%d/{id}",
		"POST /api/v1/resource%d",
		"GET /pages/page%d/{$}",
		"/files/tree%d/",
		"/account%d/export/{format}",
		"host%d.example.com/",
		"host%d.example.com/signup",
		"DELETE /{tenant}/item%d",
		"/section%d",
		"GET /static%d/{rest...}",
	}
	rules := make([]routes.Rule, n)
	for i := range rules {
		text := fmt.Sprintf(shapes[i%len(shapes)], i/len(shapes))
		pattern, err := routes.Parse(text)
		if err != nil {
			panic(err)
		}
		rules[i] = routes.Rule{Class: routes.Class(1 + i%7), Pattern: pattern}
	}
	return rules
}

var sizes = []int{10, 1_000, 10_000}

// knownPath is one that the tables of all sizes know.
const knownPath = "/api/v1/resource0/5d41402abc4b2a76"

func BenchmarkMatch(b *testing.B) {
	for _, size := range sizes {
		table, _ := routes.New(manyRules(size))
		for name, path := range map[string]string{
			"known":   fmt.Sprintf("/api/v1/resource%d/5d41402abc4b2a76", (size-1)/20),
			"unknown": "/assets/js/vendor/main.0a1b2c.js",
			"escaped": fmt.Sprintf("/files/tree%d/Annual%%20Report.pdf", (size-1)/20),
		} {
			b.Run(fmt.Sprintf("%d/%s", size, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					table.Match("GET", "www.example.com", path)
				}
			})
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	table, _ := routes.New(manyRules(10_000))
	for name, path := range map[string]string{
		"plain":         knownPath,
		"escaped":       "/files/tree7/Annual%20Report%20%E2%82%AC.pdf",
		"well-known":    "/.well-known/acme-challenge/abc",
		"encoded-slash": "/files/tree7/a%2Fb",
		"empty-segment": "/files/tree7//b",
		"all-tricks":    `/a;p/..%3b/%2e%2e//x\y%5cz/.%252e/%252f/b`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Classify("GET", "www.example.com", path)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for _, size := range sizes {
		rules := manyRules(size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, conflicts := routes.New(rules); conflicts != nil {
					b.Fatal(conflicts[0])
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		routes.Parse("GET /api/v1/resource1/{id}")
	}
}
