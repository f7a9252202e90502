package console

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// A want is something that needs somebody.
type want struct {
	Bad    bool // now; else it can wait until there is time
	Icon   string
	What   string
	Since  time.Time
	Left   time.Time // until when
	Do     string
	Target string
	Button string
}

// wantsOf returns what needs somebody, the most pressing first.
func wantsOf(s api.Status) (all []want) {
	if s.Waiting != "" {
		all = append(all, want{Bad: true, Icon: "warn", What: "Nothing is served: this gateway doesn’t know yet what it may serve.", Do: "See below what it can’t reach.", Target: "/explain", Button: "Explain"})
	}
	for _, m := range s.Markets {
		if m.Reason == policy.ByGuarantee {
			all = append(all, want{Bad: true, Icon: "warn", What: m.Name + " is withheld: a flag was below its guarantee.", Since: m.Since, Do: "Put the flag right at its source, then acknowledge it in the policy.", Target: "/markets/" + string(m.Jurisdiction), Button: "Look at it"})
		}
	}
	for _, r := range s.Unsigned {
		all = append(all, want{Bad: true, Icon: "sign", What: fmt.Sprintf("Nobody else has signed emergency %d: %s.", r.Number, r.Summary), Left: r.SignBy, Do: "Read what was done and why, and sign. What is withdrawn stays so.", Target: fmt.Sprintf("/changes#n%d", r.Number), Button: "Read and sign"})
	}
	for _, d := range s.Demands {
		if d.Outcome != policy.DemandUnmet {
			continue
		}
		w := want{Icon: "law", What: d.Name + ": " + d.Summary + ".", Do: d.Missing, Target: "/demands#" + d.Name, Button: "Look at it"}
		if days := d.DaysLeft; days != nil {
			w.What = fmt.Sprintf("%s has its date in %d days. If it is law then, something that is served has to be withdrawn.", d.Name, *days)
			w.Bad = *days <= near
		}
		all = append(all, w)
	}
	for _, c := range s.Pending {
		w := want{Icon: "swap", What: fmt.Sprintf("Change %d waits: %s.", c.Number, c.Summary), Left: c.Expires, Do: fmt.Sprintf("It has %d of %d approvals.", len(c.Approvals), c.Needs), Target: fmt.Sprintf("/changes#n%d", c.Number), Button: "Read it"}
		if c.Status == changes.Stale {
			w.Left, w.Do = time.Time{}, fmt.Sprintf("It has to be proposed anew: %s.", c.StaleBecause)
		}
		all = append(all, w)
	}
	if s.Mode == policy.Observe {
		all = append(all, want{Icon: "warn", What: "The policy only observes: nobody is refused.", Do: "To enforce it, take mode: observe out of the policy."})
	}
	all = append(all, failures(s)...)
	slices.SortStableFunc(all, func(a, b want) int { return cmp.Compare(pressing(b), pressing(a)) })
	return all
}

// failures returns which checks fail, but for what is said elsewhere of emergencies and
// guarantees.
func failures(s api.Status) (all []want) {
	unenforced := 0
	for _, name := range slices.Sorted(maps.Keys(s.Checks)) {
		check := s.Checks[name]
		if check.OK || strings.HasPrefix(name, "emergency ") || strings.HasPrefix(name, "guarantee ") {
			continue
		}
		what, do, _ := strings.Cut(check.Detail, "\n\n")
		w := want{Bad: !s.Ready, Icon: "warn", What: name + ": " + what, Do: do}
		if code, isPlace := strings.CutPrefix(name, "not enforced here: "); isPlace {
			if unenforced++; unenforced > 1 {
				continue // said with the first of them
			}
			w.Icon, w.What = "nopin", code+" is not enforced here: who is there is served."
			w.Do, w.Target, w.Button = check.Detail, "/markets/"+code, "Look at it"
			if n := len(s.Unenforced); n > 1 {
				w.What = fmt.Sprintf("%d places are not enforced here: who is there is served. %s", n, joinSome(s.Unenforced))
				w.Target, w.Button = "/?view=table&phase=unenf", "Which"
			}
		}
		if strings.HasPrefix(name, "geo ") {
			w.Icon = "db"
		}
		if check.Since != nil {
			w.Since = *check.Since
		}
		all = append(all, w)
	}
	return all
}

// joinSome names some jurisdictions, and says how many more there are.
func joinSome(codes []policy.Code) string {
	const most = 8
	if len(codes) <= most {
		return joinCodes(codes) + "."
	}
	return fmt.Sprintf("%s and %d more.", joinCodes(codes[:most]), len(codes)-most)
}

// near is in how many days something is that is needed now.
const near = 14

func pressing(w want) int {
	if w.Bad {
		return 1
	}
	return 0
}
