package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/ledger"
)

func TestDecode(t *testing.T) {
	at := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	r := ledger.Record{Version: 1, Number: 1, Time: at, Content: ledger.Content{Kind: "revision", Author: "ada", Reason: "because", Body: []byte("body\nbody")}}
	data := string(must[[]byte](t)(r.Encode()))
	const want = `{"version":1,"number":1,"previous":"0000000000000000000000000000000000000000000000000000000000000000","time":"2026-11-22T02:00:00Z","kind":"revision","author":"ada","reason":"because"}` + "\nbody\nbody"
	if data != want {
		t.Errorf("it is\n%s, want\n%s", data, want)
	}
	r.Hash = must[ledger.Record](t)(ledger.Decode([]byte(data))).Hash
	if diff := cmp.Diff(r, must[ledger.Record](t)(ledger.Decode([]byte(data)))); diff != "" {
		t.Error(diff)
	}
	for name, change := range map[string][2]string{
		"a space":               {`,"number"`, `, "number"`},
		"another order":         {`"version":1,"number":1`, `"number":1,"version":1`},
		"a field twice":         {`"number":1`, `"number":2,"number":1`},
		"a field more":          {`"number":1`, `"number":1,"more":1`},
		"a field less":          {`"kind":"revision",`, ``},
		"another case":          {`"kind"`, `"Kind"`},
		"an escape":             {`"ada"`, `"\u0061da"`},
		"another zone":          {`02:00:00Z`, `03:00:00+01:00`},
		"a fraction of nothing": {`02:00:00Z`, `02:00:00.0Z`},
		"no author":             {`"ada"`, `""`},
		"a control character":   {`"ada"`, `"ada\u001b[2J"`},
		"an older version":      {`"version":1`, `"version":0`},
		"capitals in a hash":    {`"previous":"000`, `"previous":"ABC`},
		"a shorter hash":        {`"previous":"000`, `"previous":"`},
		"no head":               {"\n", " "},
		"a carriage return":     {"\n", "\r\n"},
	} {
		changed := strings.Replace(data, change[0], change[1], 1)
		if name == "no head" {
			changed = strings.ReplaceAll(data, "\n", " ")
		}
		if r, err := ledger.Decode([]byte(changed)); err == nil || !strings.HasPrefix(err.Error(), "not a record: ") {
			t.Errorf("%s: it is read as %+v, %v", name, r, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := ledger.Record{Number: 1, Time: time.Date(2026, 11, 22, 2, 0, 0, 1, time.UTC), Content: ledger.Content{Kind: "revision", Author: "ada", Body: []byte("body")}}
	data, _ := r.Encode()
	f.Add(data)
	f.Add([]byte(`{"version":2,"number":1,"previous":"0000000000000000000000000000000000000000000000000000000000000000"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ledger.Decode(data)
		if err != nil || r.Version > 1 {
			return
		}
		if again, err := r.Encode(); err != nil || string(again) != string(data) {
			t.Errorf("%q is written as %q, %v", data, again, err)
		}
	})
}

// Issue 10, number 18: of a record of a later version, what its head has as today's do is
// shown: when, by whom and why.
func TestDecode_headOfALaterVersion(t *testing.T) {
	const previous = `"previous":"0000000000000000000000000000000000000000000000000000000000000000"`
	r, err := ledger.Decode([]byte(`{"version":2,"number":1,` + previous + `,"time":"2026-11-22T02:00:00Z","kind":"revision","author":"ada","reason":"the law","seal":"x"}` + "\nbody"))
	if err != nil || r.Kind == "revision" || r.Body != nil || r.Author != "ada" || r.Reason != "the law" || r.Time.IsZero() {
		t.Errorf("it is read as %+v, %v", r, err)
	}
	r, err = ledger.Decode([]byte(`{"version":2,"number":1,` + previous + `,"time":"2026-11-22T02:00:00Z","kind":"revision","author":"\u001b[2J","reason":""}` + "\nbody"))
	if err != nil || r.Author != "" || !r.Time.IsZero() {
		t.Errorf("one by control characters is read as %+v, %v", r, err)
	}
}
