package request

import (
	"errors"
	"strings"
	"testing"
)

func TestAPanicIsDescribedWithoutWhatItQuotes(t *testing.T) {
	describe := func(f func()) (got, where string) {
		defer func() { got, where = describePanic(recover()), stack() }()
		f()
		return
	}
	var none []int
	three := len("abc")
	for want, f := range map[string]func(){
		"runtime error: index out of range [3] with length 0": func() { _ = none[three] },
		"string":              func() { panic("192.0.2.7") },
		"*errors.errorString": func() { panic(errors.New("192.0.2.7")) },
	} {
		got, where := describe(f)
		if got != want {
			t.Errorf("it is described as %q, want %q", got, want)
		}
		if !strings.Contains(where, "TestAPanicIsDescribedWithoutWhatItQuotes") || !strings.Contains(where, "panic_test.go:") || strings.Contains(where, "0x") {
			t.Errorf("it is said to be at %s", where)
		}
	}
}
