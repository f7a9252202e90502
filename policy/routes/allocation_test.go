package routes_test

import (
	"strings"
	"testing"
)

func TestMatchAndClassify_allocateNothing(t *testing.T) {
	table := tableOf(t, service...)
	for _, path := range []string{
		"*",
		"/",
		"/signup",
		"/files/" + strings.Repeat("deeper/", 300),
		"/files/" + strings.Repeat("%C3%A9", 300),
		"/files/a%2Fb//c/../d;e",
		"/files/" + strings.Repeat("a%2Fb", 300),
		`/legal/..;/..%5c%252e%252e/signup//\x%3by/./z`,
		"/legal/" + strings.Repeat("/./", 500),
		"/legal/%c0%af",
	} {
		if n := testing.AllocsPerRun(100, func() {
			table.Match("GET", "any.example", path)
			table.Classify("GET", "any.example", path)
		}); n != 0 {
			t.Errorf("%.40q: %v allocations", path, n)
		}
	}
}
