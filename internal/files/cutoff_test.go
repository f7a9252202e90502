package files_test

import (
	"testing"

	"github.com/exitgate/exitgate/internal/files"
)

// A4 and F: half a file may be valid, and open a market.
func TestATextThatLooksCutOff(t *testing.T) {
	const before = "version: 1\njurisdictions:\n  DE: open\n  FR: withdrawn\n"
	for name, test := range map[string]struct {
		before, text string
		inPlace      bool
		whole        bool
	}{
		"the first one":                         {"", "version: 1", true, true},
		"as it was":                             {before, before, true, true},
		"longer":                                {before, before + "  IT: open\n", true, true},
		"shorter, and else than before":         {before, "version: 1\n# none\n", true, true},
		"within a line":                         {before, "version: 1\n# new\njuris", false, false},
		"behind a line":                         {before, "version: 1\njurisdictions:\n  DE: open\n", true, false},
		"that, put there whole":                 {before, "version: 1\njurisdictions:\n  DE: open\n", false, true},
		"that, and a comment":                   {before, "version: 1\njurisdictions:\n  DE: open\n# done\n", true, true},
		"empty":                                 {before, "", true, false},
		"without the end mark":                  {before + "...\n", "version: 1\n# else\n", false, false},
		"with it":                               {before + "...\n", "version: 1\n...\n\n", false, true},
		"the first with it":                     {before, "version: 1\n# else\n...\n", false, true},
		"of a text that has no line breaks yet": {"version: 1", "version: 1\n# else", true, true},
	} {
		if err := files.CheckWhole([]byte(test.before), []byte(test.text), test.inPlace); (err == nil) != test.whole {
			t.Errorf("%s: %v", name, err)
		}
	}
}
