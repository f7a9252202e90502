package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

func TestWhatNeedsSomebody(t *testing.T) {
	days := 3
	s := api.Status{
		Ready: true,
		Checks: map[string]api.Check{
			"policy":      {OK: true, Detail: "holds"},
			"ledger":      {Detail: "connection refused\n\nnothing can be changed"},
			"emergency 7": {Detail: "said by what is unsigned"},
		},
		Unsigned: []changes.Revision{{Number: 7, Summary: "IT open → withdrawn"}},
		Pending:  []changes.Change{{Number: 9, Summary: "FR open → announced", Needs: 2, Status: changes.Pending}},
		Demands:  []policy.DemandStatus{{Name: "fr-law", Outcome: policy.DemandUnmet, DaysLeft: &days}, {Name: "de-law", Outcome: policy.DemandKept}},
	}
	for i := range 1000 {
		code := policy.Code(fmt.Sprintf("US-%03d", i))
		s.Unenforced = append(s.Unenforced, code)
		s.Checks["not enforced here: "+string(code)] = api.Check{Detail: "no database finds it"}
	}
	all := wantsOf(s)
	var words []string
	for _, w := range all {
		words = append(words, w.What)
	}
	for i, want := range []string{"emergency 7", "fr-law has its date in 3 days", "Change 9 waits", "ledger: connection refused", "1000 places are not enforced here"} {
		if i >= len(all) || !strings.Contains(words[i], want) {
			t.Errorf("%d is not about %s, of %q", i, want, words)
		}
	}
	if len(all) != 5 || !all[1].Bad || all[2].Bad {
		t.Errorf("there are %+v", all)
	}
	if none := wantsOf(api.Status{Ready: true}); none != nil {
		t.Errorf("of nothing there is %+v", none)
	}
}
