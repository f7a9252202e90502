package accept_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/internal/accept"
)

func TestEach(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  []string
	}{
		{nil, nil},
		{[]string{"", " , ,"}, nil},
		{[]string{"a/b, c/d;q=0.5", "e/f;x=y;Q=0.123"}, []string{"a/b 1000", "c/d 500", "e/f 123"}},
		{[]string{"a;q=1.000,b;q=0,c;q=0.05"}, []string{"a 1000", "b 0", "c 50"}},
		{[]string{"a;q=2,b;q=0.1234,c;q=high,d;q=,e;q=.9,f;q=1.001,g;q=0x5,h"}, []string{"h 1000"}},
		{[]string{`a;profile="b,c", d`}, []string{"a 1000", "d 1000"}},
		{[]string{`a;profile="\",b", d`}, []string{"a 1000", "d 1000"}},
		{[]string{strings.Repeat("a", 1000) + ", " + strings.Repeat("b", 100)}, []string{strings.Repeat("a", 1000) + " 1000"}},
		{[]string{strings.Repeat("a", 2000)}, nil},
		{[]string{strings.Repeat(",", 16) + "a"}, nil},
	} {
		var got []string
		accept.Each(c.lines, func(item string, quality int) bool {
			got = append(got, fmt.Sprint(item, " ", quality))
			return true
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.lines, got, c.want)
		}
	}
}

func TestEach_endsWhenToldTo(t *testing.T) {
	calls := 0
	accept.Each([]string{"a,b", "c"}, func(string, int) bool { calls++; return false })
	if calls != 1 {
		t.Errorf("called %d times", calls)
	}
}
