package document_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWhatStandsIsNeverParsedAnew holds which callers use Read: all of a gateway
// that reads a ledger or a disk. It has Parse for what is proposed alone, and
// hands that to the changes. Parse is for the command line, where people check
// what they have written, but for the policy that they compare with.
func TestWhatStandsIsNeverParsedAnew(t *testing.T) {
	parse := regexp.MustCompile(`document\.Parse\b`)
	allowed := regexp.MustCompile(`proposed, err := document\.Parse|read := document\.Parse`)
	err := filepath.WalkDir("../../gateway", func(file string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if code, _, _ := strings.Cut(line, "//"); parse.MatchString(code) && !allowed.MatchString(code) {
				t.Errorf("%s refuses what stands by the rules for what is new: %s", file, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
