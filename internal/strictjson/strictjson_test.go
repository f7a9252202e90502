package strictjson_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/internal/strictjson"
)

// A color is text that is red or blue.
type color string

func (c *color) UnmarshalText(text []byte) error {
	if string(text) != "red" && string(text) != "blue" {
		return errors.New(strconv.Quote(string(text)) + " is not a color")
	}
	*c = color(text)
	return nil
}

// A pair reads itself.
type pair struct{ A, B int }

func (p *pair) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, &[]*int{&p.A, &p.B}) }

type base struct {
	ID uint64 `json:"id,omitempty"`
}

type inner struct {
	Color color     `json:"color"`
	From  time.Time `json:"from,omitzero"`
}

type document struct {
	base
	Name   string         `json:"name"`
	Inner  *inner         `json:"inner,omitempty"`
	Small  uint8          `json:"small,omitempty"`
	Level  float64        `json:"level,omitempty"`
	Is     bool           `json:"is,omitempty"`
	Words  []string       `json:"words,omitempty"`
	Bytes  []byte         `json:"bytes,omitempty"`
	Counts map[string]int `json:"counts,omitempty"`
	Pair   pair           `json:"pair,omitzero"`
	Any    any            `json:"any,omitempty"`
}

var lenient, complete = strictjson.Options{}, strictjson.Options{Complete: true}

func TestUnmarshal(t *testing.T) {
	for text, want := range map[string]document{
		`{}`: {},
		" \n{\t\"name\" : \"x\" , \"id\":12}\r\n":                            {Name: "x", base: base{12}},
		`{"name": "a\n\"b\"\\ \ud83d\ude00 \ufffd 😀 \u0000"}`:                {Name: "a\n\"b\"\\ 😀 \ufffd 😀 \x00"},
		`{"n\u0061me": "x"}`:                                                 {Name: "x"},
		`{"inner": {"color": "red", "from": "2026-12-01T00:00:00Z"}}`:        {Inner: &inner{"red", time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}},
		`{"small": 255, "level": -1.5e3, "is": true}`:                        {Small: 255, Level: -1500, Is: true},
		`{"words": ["a", ""], "bytes": "AQI=", "counts": {"x": -1}}`:         {Words: []string{"a", ""}, Bytes: []byte{1, 2}, Counts: map[string]int{"x": -1}},
		`{"words": [ ], "counts": { }, "inner": null, "name": null}`:         {Words: []string{}, Counts: map[string]int{}},
		`{"pair": [1, 2], "any": {"a": [1.0, "b", true, null, {}, [], ""]}}`: {Pair: pair{1, 2}, Any: map[string]any{"a": []any{json.Number("1.0"), "b", true, nil, map[string]any{}, []any{}, ""}}},
	} {
		var got document
		if err := strictjson.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if diff := cmp.Diff(want, got, cmp.AllowUnexported(document{}, base{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	shallow := strictjson.Options{Depth: 3}
	few := strictjson.Options{Values: 4}
	for _, test := range []struct {
		options strictjson.Options
		text    string
		kind    strictjson.Kind
		path    string
		offset  int
	}{
		{lenient, ``, strictjson.Syntax, "", 0},
		{lenient, " \n", strictjson.Syntax, "", 2},
		{lenient, `{"name": "x"`, strictjson.Syntax, "", 12},
		{lenient, `{"name": "x`, strictjson.Syntax, "name", 11},
		{lenient, `{"name": 'x'}`, strictjson.Syntax, "name", 9},
		{lenient, `{"any": 'x'}`, strictjson.Syntax, "any", 8},
		{lenient, `{"any": 01}`, strictjson.Syntax, "", 9},
		{lenient, `{"any": nul}`, strictjson.Syntax, "any", 11},
		{lenient, "{\"any\": \x00}", strictjson.Syntax, "any", 8},
		{lenient, "{\"name\": \"a\nb\"}", strictjson.Syntax, "name", 11},
		{lenient, `{"name": "\x"}`, strictjson.Syntax, "name", 10},
		{lenient, `{"name": "x",}`, strictjson.Syntax, "", 12},
		{lenient, `{"name" "x"}`, strictjson.Syntax, "name", 8},
		{lenient, `{"name": "x" "is": true}`, strictjson.Syntax, "", 13},
		{lenient, `{name: "x"}`, strictjson.Syntax, "", 2},
		{lenient, `{"words": ["a" "b"]}`, strictjson.Syntax, "words", 15},
		{lenient, `{"words": ["a",]}`, strictjson.Syntax, "words", 14},
		{lenient, `{"name": "x"}]`, strictjson.Syntax, "", 13},
		{lenient, `{} {}`, strictjson.Syntax, "", 3},
		{lenient, "\ufeff{}", strictjson.Syntax, "", 0},
		{lenient, "{\"name\": \"\xff\"}", strictjson.Encoding, "", 0},
		{lenient, `{"name": "\ud800"}`, strictjson.Encoding, "name", 0},
		{lenient, `{"name": "\\\udc00\ud800"}`, strictjson.Encoding, "name", 0},
		{lenient, `{"name": "\ud83d\u0041"}`, strictjson.Encoding, "name", 0},
		{lenient, `{"\ud800": "x"}`, strictjson.Encoding, "", 0},
		{lenient, `"x"`, strictjson.Type, "", 0},
		{lenient, `[{}]`, strictjson.Type, "", 0},
		{lenient, `{"nmae": "x"}`, strictjson.Unknown, "nmae", 0},
		{lenient, `{"Name": "x"}`, strictjson.Unknown, "Name", 0},
		{lenient, `{"": "x"}`, strictjson.Unknown, "", 0},
		{lenient, `{"` + strings.Repeat("k", 1000) + `": 1}`, strictjson.Unknown, strings.Repeat("k", 64) + "…", 0},
		{lenient, `{"inner": {"form": {}}}`, strictjson.Unknown, "inner.form", 0},
		{lenient, `{"name": "x", "name": 1}`, strictjson.Duplicate, "name", 0},
		{lenient, `{"name": "x", "\u006eame": "y"}`, strictjson.Duplicate, "name", 0},
		{lenient, `{"counts": {"a": 1, "a": 1}}`, strictjson.Duplicate, "counts.a", 0},
		{lenient, `{"any": [{"a": 1, "a": 1}]}`, strictjson.Duplicate, "any[0].a", 0},
		{lenient, `{"pair": {"a": 1, "a": 1}}`, strictjson.Duplicate, "pair.a", 0},
		{lenient, `{"pair": 1}`, strictjson.Type, "pair", 0},
		{lenient, `{"name": 1}`, strictjson.Type, "name", 0},
		{lenient, `{"name": ["x"]}`, strictjson.Type, "name", 0},
		{lenient, `{"id": -1}`, strictjson.Type, "id", 0},
		{lenient, `{"id": 1.5}`, strictjson.Type, "id", 0},
		{lenient, `{"id": 1e3}`, strictjson.Type, "id", 0},
		{lenient, `{"id": 18446744073709551616}`, strictjson.Type, "id", 0},
		{lenient, `{"small": 256}`, strictjson.Type, "small", 0},
		{lenient, `{"id": "1"}`, strictjson.Type, "id", 0},
		{lenient, `{"is": "true"}`, strictjson.Type, "is", 0},
		{lenient, `{"is": 1}`, strictjson.Type, "is", 0},
		{lenient, `{"bytes": "%"}`, strictjson.Type, "bytes", 0},
		{lenient, `{"words": "a"}`, strictjson.Type, "words", 0},
		{lenient, `{"inner": []}`, strictjson.Type, "inner", 0},
		{lenient, `{"inner": {"color": "green"}}`, strictjson.Value, "inner.color", 0},
		{lenient, `{"inner": {"color": 4}}`, strictjson.Type, "inner.color", 0},
		{lenient, `{"inner": {"from": "tomorrow"}}`, strictjson.Type, "inner.from", 0},
		{lenient, `{"inner": {"from": 1796083200}}`, strictjson.Type, "inner.from", 0},
		{complete, `{}`, strictjson.Missing, "name", 0},
		{complete, `{"name": "x", "inner": {}}`, strictjson.Missing, "inner.color", 0},
		{complete, `{"name": null}`, strictjson.Type, "name", 0},
		{complete, `{"name": "x", "words": ["a", null]}`, strictjson.Type, "words[1]", 0},
		{shallow, `{"any": [[[]]]}`, strictjson.Limit, "any[0][0]", 0},
		{shallow, `{"any": [{"a": {}}]}`, strictjson.Limit, "any[0].a", 0},
		{lenient, `{"any": ` + strings.Repeat("[", 2000), strictjson.Limit, "any" + strings.Repeat("[0]", 84) + "[…", 0},
		{few, `{"any": [1, 2, 3]}`, strictjson.Limit, "any[2]", 0},
	} {
		var got document
		err := test.options.Unmarshal([]byte(test.text), &got)
		e, ok := errors.AsType[*strictjson.Error](err)
		if !ok || e.Kind != test.kind || e.Path != test.path || e.Kind == strictjson.Syntax && e.Offset != test.offset {
			t.Errorf("%.100s: got %+v, not %s at %q and byte %d", test.text, err, test.kind, test.path, test.offset)
		}
	}
}

func TestUnmarshal_limitsAreReached(t *testing.T) {
	for text, o := range map[string]strictjson.Options{`{"any": [[]]}`: {Depth: 3}, `{"any": [1, 2]}`: {Values: 4}} {
		if err := o.Unmarshal([]byte(text), new(document)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestUnmarshal_numbers(t *testing.T) {
	tooLarge := errors.New("too large")
	o := strictjson.Options{Numbers: strictjson.NumbersBy(func(literal string) (any, error) {
		if literal == "9" {
			return nil, tooLarge
		}
		return len(literal), nil
	})}
	var got any
	if err := o.Unmarshal([]byte(`[1, 10]`), &got); err != nil || !cmp.Equal(got, any([]any{1, 2})) {
		t.Errorf("got %v, %v", got, err)
	}
	e, ok := errors.AsType[*strictjson.Error](o.Unmarshal([]byte(`{"a": [1, 9]}`), &got))
	if !ok || e.Kind != strictjson.Value || e.Path != "a[1]" || !errors.Is(e, tooLarge) {
		t.Errorf("got %v", e)
	}
}

// What is read is what encoding/json reads, and nothing makes the reader fall
// over.
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"name":"x","inner":{"color":"red","from":"2026-12-01T00:00:00Z"}}`, `{"any":[1.5,{"a":null}],"pair":[1,2]}`,
		`{"name":"\\"}`, `{"name":"\ud800"}`, `{"name":"\\ud83d\ude00"}`, `[[[[`, `{"name":null}`, `{"a":1,"a":1}`, `{"bytes":"AQI=","counts":{"a":1}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want document
		if err := strictjson.Unmarshal(text, &got); err != nil {
			e, ok := errors.AsType[*strictjson.Error](err)
			if !ok || len(e.Error()) > 1000 || !utf8.ValidString(e.Error()) || e.Offset > len(text) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		in := json.NewDecoder(strings.NewReader(string(text)))
		in.UseNumber()
		if err := in.Decode(&want); err != nil {
			t.Fatalf("%q is read, but %v", text, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(document{}, base{})); diff != "" {
			t.Errorf("%q (-encoding/json +strictjson):\n%s", text, diff)
		}
	})
}
