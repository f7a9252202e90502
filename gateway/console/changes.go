package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
)

// A changesPage is what the page of changes shows.
type changesPage struct {
	Unsigned []changes.Revision
	Pending  []waiting
	Over     []changes.Change
	Problem  *api.Problem
	// Typed is the reason that was sent with what wasn't done, for the change or revision
	// with a number, to be sent again.
	Typed       string
	TypedNumber uint64
}

// TypedFor returns the reason that was typed for a change.
func (p changesPage) TypedFor(number uint64) string {
	if number != p.TypedNumber {
		return ""
	}
	return p.Typed
}

// A waiting is a change that waits, with what it would do now.
type waiting struct {
	changes.Change
	Planned *planned
	Mine    bool // whoever is signed in has written it
	Given   bool // and has approved it already
}

// EditPage returns where it is edited, "" if it isn't about one entry alone.
func (w waiting) EditPage() string {
	if w.Planned == nil || len(w.Planned.Plan.Plan.Amendments) != 1 || w.Planned.Plan.Plan.Amendments[0].Section != "jurisdictions" {
		return ""
	}
	typed := url.Values{"change": {fmt.Sprint(w.Number)}, "because": {w.Because}}
	if moves := w.Planned.Plan.Plan.Moves; len(moves) > 0 && moves[0].From.IsZero() {
		typed.Set("phase", moves[0].After.Phase.String())
	}
	return "/markets/" + url.PathEscape(w.Planned.Plan.Plan.Amendments[0].Name) + "/change?" + typed.Encode()
}

// Missing returns how many approvals it still needs.
func (w waiting) Missing() int { return max(0, w.Needs-len(w.Approvals)) }

// involves reports whether somebody has a part in what waits: all others are shown the same.
func (a *answers) involves(name string) (bool, error) {
	status, err := get[api.Status](a, "/v1/status")
	if err != nil {
		return false, err
	}
	all, err := get[api.Changes](a, "/v1/changes")
	if err != nil {
		return false, err
	}
	isAuthor := func(r changes.Revision) bool { return slices.Contains(r.Authors, name) }
	hasPart := func(c changes.Change) bool {
		return slices.Contains(c.Authors, name) || slices.Contains(changes.Approvers(c.Approvals), name)
	}
	return slices.ContainsFunc(status.Unsigned, isAuthor) || slices.ContainsFunc(all.Changes, hasPart), nil
}

// loadChanges loads the page of changes, as somebody is shown it.
func (a *answers) loadChanges(by changes.Actor) (f frame, err error) {
	f = frame{Title: "Changes", Nav: "changes", Live: "/live?page=/changes"}
	if err := a.fill(&f, by); err != nil {
		return f, err
	}
	page := changesPage{Unsigned: f.Status.Unsigned}
	all, err := get[api.Changes](a, "/v1/changes")
	if err != nil {
		return f, err
	}
	for _, c := range all.Changes {
		if c.Status != changes.Pending && c.Status != changes.Stale {
			page.Over = append(page.Over, c)
			continue
		}
		full, err := get[api.Change](a, fmt.Sprintf("/v1/changes/%d", c.Number))
		if err != nil {
			return f, err
		}
		w := waiting{Change: full.Change, Mine: slices.Contains(full.Authors, by.Name), Given: slices.Contains(changes.Approvers(full.Approvals), by.Name)}
		if full.Planned != nil {
			w.Planned = &planned{Plan: *full.Planned}
		}
		page.Pending = append(page.Pending, w)
	}
	const most = 20
	page.Over = page.Over[:min(len(page.Over), most)]
	f.Body = page
	return f, nil
}

// approve approves a change, or signs an emergency, by what was read of it.
func (v *visit) approve() error {
	number, err := v.number()
	if err != nil {
		return err
	}
	var change api.Change
	err = v.post(fmt.Sprintf("/v1/changes/%d/approvals", number), api.Approval{Plan: v.PostForm.Get("plan"), Because: strings.TrimSpace(v.PostForm.Get("because"))}, &change)
	if err != nil {
		return v.showRefused(err)
	}
	if change.InForce != nil && change.Status != "" {
		v.redirect(fmt.Sprintf("/revisions/%d?done", change.InForce.Number))
		return nil
	}
	v.redirect(fmt.Sprintf("/changes#n%d", number))
	return nil
}

func (v *visit) reject() error {
	number, err := v.number()
	if err != nil {
		return err
	}
	because := strings.TrimSpace(v.PostForm.Get("because"))
	if because == "" {
		return v.showRefused(problem(http.StatusBadRequest, "There is no reason.", "Say why it is rejected: whoever wrote it reads it."))
	}
	if err := v.post(fmt.Sprintf("/v1/changes/%d/rejection", number), api.Rejection{Because: because}, nil); err != nil {
		return v.showRefused(err)
	}
	v.redirect("/changes")
	return nil
}

// showRefused shows the changes as they are now, and why what was asked for wasn't done.
func (v *visit) showRefused(err error) error {
	if _, isProblem := errors.AsType[*api.Problem](err); !isProblem {
		return err
	}
	f, failed := v.answers().loadChanges(v.by)
	if failed != nil {
		return errors.Join(err, failed)
	}
	page := f.Body.(changesPage)
	page.Problem = asProblem(err)
	page.Typed = v.PostForm.Get("because")
	page.TypedNumber, _ = v.number() // 0: there is no such change
	f.Body = page
	return v.render(v.statusFor(page.Problem.Status), "changes", f)
}
