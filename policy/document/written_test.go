package document_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/internal/testkit"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// TestDocumentsOfAnEarlierCommitMeanTheSame reads the documents that commit
// 803cf21 accepted, and holds the phase of each market, and the warnings that it
// gave, against what it said.
func TestDocumentsOfAnEarlierCommitMeanTheSame(t *testing.T) {
	type market struct {
		Jurisdiction policy.Code
		Phase        policy.Phase
	}
	type place struct{ Line, Column int }
	for _, file := range testkit.WrittenFiles(t, "803cf21/documents/*.yaml") {
		want := testkit.WrittenJSON[struct {
			SHA256        string
			At            time.Time
			Warnings      []place
			Jurisdictions []market
		}](t, strings.TrimSuffix(file, ".yaml")+".json")[0]
		want.Warnings = slices.Compact(want.Warnings)
		got := want
		got.Warnings, got.Jurisdictions = nil, nil
		p, err := document.Read(file, testkit.Written(t, file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		got.SHA256 = p.Digest()
		for _, w := range document.Warnings(file, p, moment) {
			at := place{w.Line, w.Column} // today there are warnings more
			if slices.Contains(want.Warnings, at) && !slices.Contains(got.Warnings, at) {
				got.Warnings = append(got.Warnings, at)
			}
		}
		for _, m := range policy.Compile(p, p.OwnFlags(), want.At).Markets() {
			got.Jurisdictions = append(got.Jurisdictions, market{m.Jurisdiction, m.Phase})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s is read otherwise (-recorded +now)\n%s", file, diff)
		}
	}
}
