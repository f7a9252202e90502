package wire

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
)

// FuzzFieldsAreReadAsTheyWereWritten holds that a decoder reads what was encoded, and that
// what no field can be isn't sent at all.
func FuzzFieldsAreReadAsTheyWereWritten(f *testing.F) {
	for i := 1; i <= 61; i++ {
		f.Add(http.CanonicalHeaderKey(staticTable(i)), "value")
	}
	f.Add("X-Long", strings.Repeat("x", 500))
	f.Add("X-Split", "a\r\nX-Other: b")
	f.Add("X Space", "")
	f.Fuzz(func(t *testing.T, name, value string) {
		block := appendField(appendStatus(nil, 451), name, value)
		fields, err := hpack.NewDecoder(0, nil).DecodeFull(block)
		if err != nil {
			t.Fatalf("%q: %q: %v", name, value, err)
		}
		if fields[0].Name != ":status" || fields[0].Value != "451" {
			t.Errorf("the status was read as %v", fields[0])
		}
		isField := !strings.ContainsAny(name+value, "\r\n\x00") && !strings.ContainsAny(name, " :")
		switch {
		case len(fields) == 1:
		case len(fields) > 2 || !isField || fields[1].Name != strings.ToLower(name) || fields[1].Value != value:
			t.Errorf("%q: %q was read as %v", name, value, fields[1:])
		}
	})
}

// staticTable returns a name of HPACK's static table.
func staticTable(i int) string {
	fields, err := hpack.NewDecoder(0, nil).DecodeFull([]byte{0x80 | byte(i)})
	if err != nil {
		panic(err)
	}
	return fields[0].Name
}

func TestABudgetIsSpentAndFillsAgain(t *testing.T) {
	at := time.Unix(0, 0)
	b := newBudget(2, 1, at)
	spends := []bool{b.spend(at), b.spend(at), b.spend(at), b.spend(at.Add(2 * time.Second)), b.spend(at.Add(time.Second))}
	b.earn(1)
	spends = append(spends, b.spend(at), b.spend(at))
	for i, want := range []bool{true, true, false, true, false, false, false} {
		if spends[i] != want {
			t.Errorf("spending number %d: %t", i+1, spends[i])
		}
	}
}

func TestAReceiveWindowIsWidenedNowAndThen(t *testing.T) {
	w := newReceiveWindow(100)
	if !w.take(60) || w.give(20) != 0 || w.give(10) != 30 || !w.take(70) || w.take(1) {
		t.Errorf("%+v", w)
	}
}
