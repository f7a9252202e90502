package console

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
)

// A logPage is what the page of the log shows.
type logPage struct {
	Records  []api.Record
	Next     uint64
	Before   string
	Verified *api.Verification
	Ended    bool // it is the last page
}

func isInForce(r api.Record) bool { return r.Kind == changes.RevisionMade }

func (v *visit) showLog() error {
	page := logPage{Before: v.URL.Query().Get("before")}
	q := url.Values{"limit": {"50"}}
	if page.Before != "" {
		q.Set("before", page.Before)
	}
	var log api.Log
	if err := v.get("/v1/log?"+q.Encode(), &log); err != nil {
		return err
	}
	page.Records, page.Next = log.Records, log.Next
	if v.URL.Query().Has("verified") {
		page.Verified = &api.Verification{}
		if err := v.get("/v1/log/verification", page.Verified); err != nil {
			return err
		}
	}
	return v.render(http.StatusOK, "log", frame{Title: "Log", Nav: "log", Body: page})
}

// verifyLog reads the whole ledger, as a page that can be linked to.
func (v *visit) verifyLog() error {
	v.redirect("/log?verified")
	return nil
}

// A revisionPage is what the page of one revision shows.
type revisionPage struct {
	Revision *changes.Revision
	Policy   string
	Diff     []diffLine // to the revision before
	InForce  bool
	Done     bool // it has just come into force
}

func (v *visit) showRevision() error {
	number, err := v.number()
	if err != nil {
		return err
	}
	var made api.Policy
	if err := v.get(fmt.Sprintf("/v1/revisions/%d", number), &made); err != nil {
		return err
	}
	f := frame{Title: fmt.Sprintf("Revision %d", number), Nav: "log"}
	if err := v.fill(&f); err != nil {
		return err
	}
	page := revisionPage{Revision: made.Revision, Policy: made.Policy, InForce: f.Status.Revision == number, Done: v.URL.Query().Has("done")}
	if made.Revision != nil && made.Revision.Base != 0 {
		var before api.Policy
		if err := v.get(fmt.Sprintf("/v1/revisions/%d", made.Revision.Base), &before); err == nil { // else there is nothing to compare with
			page.Diff = compare(before.Policy, made.Policy)
		}
	}
	f.Body = page
	return v.render(http.StatusOK, "revision", f)
}
