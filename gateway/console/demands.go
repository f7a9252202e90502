package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
)

// A demandsPage is what the page of demands shows, and the form for a stage.
type demandsPage struct {
	Demands []policy.DemandStatus
	Stages  []string
	Unmet   int
	Form    url.Values
	Plan    *planned
	Problem *api.Problem
}

// Value returns what was typed.
func (p demandsPage) Value(name string) string { return p.Form.Get(name) }

// showDemands shows all demands, and records a stage of one.
func (v *visit) showDemands() error {
	f := frame{Title: "Demands", Nav: "demands"}
	if err := v.fill(&f); err != nil {
		return err
	}
	page := demandsPage{Demands: slices.Clone(f.Status.Demands), Stages: policy.Stage("").SchemaEnum(), Form: v.form()}
	slices.SortStableFunc(page.Demands, func(a, b policy.DemandStatus) int {
		return cmp.Or(cmp.Compare(rankOf(a), rankOf(b)), cmp.Compare(daysOf(a), daysOf(b)))
	})
	for _, d := range page.Demands {
		if d.Outcome == policy.DemandUnmet {
			page.Unmet++
		}
	}
	status := http.StatusOK
	if v.Method == http.MethodPost {
		proposal, err := page.proposal()
		if err == nil {
			var done bool
			if page.Plan, done, err = v.planOrPropose(proposal, page.Form); done {
				return nil
			}
		}
		if err != nil {
			page.Problem = asProblem(err)
			status = page.Problem.Status
		}
	}
	f.Body = page
	return v.render(v.statusFor(status), "demands", f)
}

// rankOf sorts demands by how near they are.
func rankOf(d policy.DemandStatus) int {
	switch {
	case d.Outcome == policy.DemandOver:
		return 3
	case d.DaysLeft != nil:
		return 0
	case d.Binds:
		return 1
	}
	return 2
}

func daysOf(d policy.DemandStatus) int {
	if d.DaysLeft == nil {
		return 0
	}
	return *d.DaysLeft
}

// proposal reads the stage that was typed.
func (p demandsPage) proposal() (api.Proposal, error) {
	stage := &api.Stage{Demand: p.Value("demand"), DatedStage: policy.DatedStage{
		Stage: policy.Stage(p.Value("stage")), Date: strings.TrimSpace(p.Value("date")), Source: strings.TrimSpace(p.Value("source")),
	}}
	if hash := strings.TrimSpace(p.Value("evidence")); hash != "" {
		stage.Evidence = "sha256:" + strings.TrimPrefix(hash, "sha256:")
	}
	zone := "UTC" // of a demand that there isn't, which is refused
	for _, d := range p.Demands {
		if d.Name == stage.Demand {
			zone = policy.DayZone(d.Jurisdiction)
		}
	}
	var err error
	if stage.InForce, err = parseDay(p.Value("in-force"), zone); err != nil {
		return api.Proposal{}, err
	}
	if stage.Until, err = parseDay(p.Value("until"), zone); err != nil {
		return api.Proposal{}, err
	}
	return api.Proposal{Stage: stage, Because: strings.TrimSpace(p.Value("because"))}, nil
}

// parseDay reads when a day begins in a zone, "" if that isn't known; zero: none is given.
func parseDay(day, zone string) (time.Time, error) {
	if strings.TrimSpace(day) == "" {
		return time.Time{}, nil
	}
	if zone == "" {
		return time.Time{}, problem(http.StatusBadRequest, "In which time zone the demand is made isn’t known here, so that a day begins at no moment.", "Write the moment down with the command: exitgate demand.")
	}
	return parseMoment(day, "", "", zone)
}
