package strictyaml_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/internal/strictyaml"
)

const spanned = `version: 1 # the first
jurisdictions:
  FR:
    # planned
    schedule:
      - from: 2026-10-01T00:00:00Z
        phase: open
      - {from: 2026-11-01T00:00:00Z,
         phase: withdrawn} # at last
  "DE" : 'with''drawn'
  IT: withdrawn
   for good
groups:
  benelux: [BE, NL, LU]
  none: []
notice:
  title: |
    Closed

  body: >-
    We have
    left.
`

func TestSpan(t *testing.T) {
	for name, test := range map[string]struct {
		path []any
		want string
	}{
		"a scalar":                   {[]any{"version"}, "1"},
		"a key":                      {[]any{strictyaml.Key("version")}, "version"},
		"a key in quotes":            {[]any{"jurisdictions", strictyaml.Key("DE")}, `"DE"`},
		"a scalar in quotes":         {[]any{"jurisdictions", "DE"}, "'with''drawn'"},
		"a scalar of two lines":      {[]any{"jurisdictions", "IT"}, "withdrawn\n   for good"},
		"a mapping in lines":         {[]any{"groups"}, "benelux: [BE, NL, LU]\n  none: []"},
		"a list in lines":            {[]any{"jurisdictions", "FR", "schedule"}, "- from: 2026-10-01T00:00:00Z\n        phase: open\n      - {from: 2026-11-01T00:00:00Z,\n         phase: withdrawn}"},
		"a mapping after a dash":     {[]any{"jurisdictions", "FR", "schedule", 0}, "from: 2026-10-01T00:00:00Z\n        phase: open"},
		"a mapping in braces":        {[]any{"jurisdictions", "FR", "schedule", 1}, "{from: 2026-11-01T00:00:00Z,\n         phase: withdrawn}"},
		"a value in braces":          {[]any{"jurisdictions", "FR", "schedule", 1, "from"}, "2026-11-01T00:00:00Z"},
		"a key in braces":            {[]any{"jurisdictions", "FR", "schedule", 1, strictyaml.Key("phase")}, "phase"},
		"a list in brackets":         {[]any{"groups", "benelux"}, "[BE, NL, LU]"},
		"an empty list":              {[]any{"groups", "none"}, "[]"},
		"an item":                    {[]any{"groups", "benelux", 2}, "LU"},
		"text in lines":              {[]any{"notice", "title"}, "|\n    Closed\n\n"},
		"text in lines, at the end":  {[]any{"notice", "body"}, ">-\n    We have\n    left.\n"},
		"the root":                   {nil, spanned},
		"a key that is not there":    {[]any{"jurisdictions", strictyaml.Key("ES")}, ""},
		"a value that is not there":  {[]any{"jurisdictions", "ES", "phase"}, ""},
		"an item that is not there":  {[]any{"groups", "benelux", 3}, ""},
		"below a scalar":             {[]any{"version", "phase"}, ""},
		"a key below a list's index": {[]any{"groups", "benelux", "BE"}, ""},
	} {
		for ends, change := range map[string]func(string) string{
			"":                       func(s string) string { return s },
			" with carriage returns": func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
			" behind a mark":         func(s string) string { return "\ufeff" + s },
			" as in some editors":    func(s string) string { return "\ufeff" + strings.ReplaceAll(s, "\n", "\r\n") },
		} {
			t.Run(name+ends, func(t *testing.T) {
				source := change(spanned)
				var v struct{}
				d := strictyaml.Decode("policy.yaml", []byte(source), &v)
				start, end, ok := d.Span(test.path...)
				if got := strings.ReplaceAll(source[start:end], "\r\n", "\n"); got != test.want || ok != (test.want != "") {
					t.Errorf("%t, %q\nwant %q", ok, got, test.want)
				}
			})
		}
	}
}

// A value ends where its text does: not where what looks like an end is, and
// before the comments that follow.
func TestSpan_ends(t *testing.T) {
	for name, value := range map[string]string{
		"a plain text":                         "b",
		"a plain text with what ends others":   `b#c:d"e'f`,
		"a plain text of several lines":        "b\n\n  c  d",
		"double quotes":                        `"b\"c\\"`,
		"double quotes over lines":             "\"b \\\n  c\n\n  # d\"",
		"double quotes with a surrogate pair":  `"\ud83d\ude00"`,
		"single quotes":                        "'b''c # \"'",
		"an empty text":                        "''",
		"a list":                               "[b, 'c]', {d: \"e}\"}]",
		"a list with comments":                 "[ # ]\n  b, # ]\n  # ]\n ]",
		"an empty list with a comment":         "[ # ]\n ]",
		"a mapping that ends in a null":        "{b: }",
		"a mapping of quotes":                  `{"b":"c"}`,
		"wide characters":                      "[日本, \u2028, é]",
		"a literal text":                       "|\n  b\n\n   # c\n\n",
		"a literal text with an indentation":   "|2-\n    b\n  c\n",
		"a folded text that begins with lines": ">+ # c\n\n\n  b\n\n",
		"a literal text without lines":         "|\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			end := ""
			if !strings.HasSuffix(value, "\n") {
				end = " # c ]\n# c }\n"
			}
			source := "a: " + value + end + "z: 1\n"
			var v struct{}
			d := strictyaml.Decode("policy.yaml", []byte(source), &v)
			if start, end, ok := d.Span("a"); !ok || source[start:end] != value {
				t.Errorf("%t, %q\nwant %q: %v", ok, source[start:end], value, d.Err())
			}
			if start, end, ok := d.Span("z"); !ok || source[start:end] != "1" {
				t.Errorf("what follows is at %q", source[start:end])
			}
		})
	}
}

func TestKeys(t *testing.T) {
	var v struct{}
	d := strictyaml.Decode("policy.yaml", []byte(spanned), &v)
	if keys := d.Keys("jurisdictions"); !slices.Equal(keys, []string{"FR", "DE", "IT"}) {
		t.Error(keys)
	}
	if keys := d.Keys("version"); len(keys) > 0 {
		t.Error(keys)
	}
	if keys := d.Keys("elsewhere"); keys != nil {
		t.Error(keys)
	}
	d = strictyaml.Decode("policy.yaml", []byte("[\n"), &v)
	if _, _, ok := d.Span(); ok {
		t.Error("there is a span in what can't be read")
	}
}
