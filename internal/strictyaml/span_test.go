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
