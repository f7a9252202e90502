package traffic_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/traffic"
	"github.com/exitgate/exitgate/policy/plan"
)

var some = traffic.Sums{Since: began, Hour: counts{served: 2}, Day: counts{served: 3, hidden: 4}}

const written = `{"since":"2026-11-22T04:00:00Z","jurisdictions":["FR","FR"],"classes":["sign-up","sign-up"],"entries":["anonymous","default?"],"anonymous":[1,0],"refused":[1,0],"hour":[0,2],"day":[4,3]}`

func TestSums_JSON(t *testing.T) {
	text, err := json.Marshal(some)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written, string(text)); diff != "" {
		t.Error(diff)
	}
	for _, sums := range []traffic.Sums{some, {Since: began, Hour: counts{}, Day: counts{}}} {
		text, err := json.Marshal(sums)
		if err != nil {
			t.Fatal(err)
		}
		var back traffic.Sums
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sums, back); diff != "" {
			t.Error(diff)
		}
	}
}

func TestSums_invalid(t *testing.T) {
	for name, test := range map[string]struct{ old, new, err string }{
		"a key twice":          {`["anonymous","default?"],"anonymous":[1,0],"refused":[1,0]`, `["default","default"],"anonymous":[0,0],"refused":[0,0]`, "{Traffic:{Jurisdiction:FR Class:sign-up Anonymous:false UnknownPart:false} Entry:default Refused:false} is there twice"},
		"a column too short":   {`[0,2]`, `[2]`, "columns of different lengths"},
		"a column missing":     {`"hour":[0,2],`, ``, "columns of different lengths"},
		"more in an hour":      {`[4,3]`, `[4,1]`, "2 in an hour, 1 in a day"},
		"none":                 {`[4,3]`, `[0,3]`, "0 in an hour, 0 in a day"},
		"less than none":       {`[4,3]`, `[-4,3]`, ""},
		"more than there are":  {`[4,3]`, `[18446744073709551615,18446744073709551615]`, "more requests than there can be"},
		"no bit":               {`[1,0]`, `[2,0]`, "neither 0 nor 1"},
		"a field more":         {`{`, `{"address":"192.0.2.1",`, "address: unknown member"},
		"a terminal's command": {`"FR"`, `"\u001b[2J"`, `the name "\x1b[2J" can't be printed`},
		"no beginning":         {`"since":"2026-11-22T04:00:00Z",`, ``, "since is missing"},
		"nothing":              {written, `{}`, "since is missing"},
		"no time":              {`"2026-11-22T04:00:00Z"`, `"yesterday"`, "since: "},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(written, test.old, test.new, 1)
			var s traffic.Sums
			err := json.Unmarshal([]byte(text), &s)
			if err == nil || !strings.HasPrefix(err.Error(), "not sums of traffic: ") || !strings.Contains(err.Error(), test.err) {
				t.Errorf("the error is %v, want %s", err, test.err)
			}
			if s.Day != nil {
				t.Errorf("there is %+v", s)
			}
		})
	}
	var s traffic.Sums
	many := fmt.Sprintf(`{"since":"2026-11-22T04:00:00Z","day":[1%s]}`, strings.Repeat(",1", traffic.MaxKeys+1))
	for text, want := range map[string]string{
		many:                        "not sums of traffic: there are 100002 keys: the limit is 100001",
		strings.Repeat(" ", 17<<20): "not sums of traffic: 17825792 bytes: the limit is 16777216",
		written + "{}":              "not sums of traffic: not one JSON value at byte 186",
	} {
		if err := s.UnmarshalJSON([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("the error is %v, want %s", err, want)
		}
	}
}

func TestAdd(t *testing.T) {
	before := cmp.Diff(some, traffic.Sums{})
	other := traffic.Sums{Since: began.Add(-time.Hour), Hour: counts{served: 1}, Day: counts{served: 1, key(1): 1}}
	want := traffic.Sums{Since: began.Add(-time.Hour), Hour: counts{served: 3}, Day: counts{served: 4, hidden: 4, key(1): 1}}
	for _, sum := range []traffic.Sums{traffic.Add(some, other), traffic.Add(other, some), traffic.Add(traffic.Sums{}, other, some), traffic.Add(some, traffic.Sums{}, other)} {
		if diff := cmp.Diff(want, sum); diff != "" {
			t.Error(diff)
		}
	}
	if after := cmp.Diff(some, traffic.Sums{}); after != before {
		t.Error("what was added has changed")
	}
}

func TestSums_ofALaterVersion(t *testing.T) {
	for version, want := range map[int]error{1: nil, 2: traffic.ErrNewer} {
		text := strings.Replace(written, "{", fmt.Sprintf(`{"version":%d,`, version), 1)
		if err := new(traffic.Sums).UnmarshalJSON([]byte(text)); !errors.Is(err, want) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	if err := new(traffic.Sums).UnmarshalJSON([]byte(`{"version":2,"rows":[]}`)); !errors.Is(err, traffic.ErrNewer) {
		t.Errorf("version 2 with other members: %v", err)
	}
}

func TestSums_Traffic(t *testing.T) {
	refused := served
	refused.Refused, refused.Entry = true, "EU"
	hour, day := traffic.Sums{Hour: counts{served: 2, refused: 1}, Day: counts{served: 3, refused: 1, hidden: 4}}.Traffic()
	if diff := cmp.Diff(map[plan.Traffic]uint64{served.Traffic: 3}, hour); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[plan.Traffic]uint64{served.Traffic: 4, hidden.Traffic: 4}, day); diff != "" {
		t.Error(diff)
	}
}

// What a peer says is an error or can be counted with, and comes back as it
// was.
func FuzzSums(f *testing.F) {
	f.Add([]byte(written))
	f.Add([]byte(`{}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"day":[1],"hour":[1],"jurisdictions":[""],"classes":["\ud800"],"entries":[null],"anonymous":[1],"refused":[0]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s traffic.Sums
		if s.UnmarshalJSON(text) != nil {
			return
		}
		twice := traffic.Add(s, s)
		for k, n := range s.Hour {
			if n > s.Day[k] || twice.Hour[k] != 2*n || twice.Day[k] != 2*s.Day[k] {
				t.Errorf("%+v has %d, %d", k, n, s.Day[k])
			}
		}
		s.Traffic()
		again, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var back traffic.Sums
		if err := back.UnmarshalJSON(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if diff := cmp.Diff(s, back); diff != "" {
			t.Error(diff)
		}
	})
}
