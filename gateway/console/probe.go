package console

import (
	"net/http"
	"net/url"

	"github.com/exitgate/exitgate/gateway/admin/api"
)

// A probePage is what gateways have seen that clients in a market get.
type probePage struct {
	Code, Name string
	Probes     api.Probes
	Requests   int // that were made
	Unwanted   int // of them, that don't get what the policy wants
	Problem    *api.Problem
}

// showProbes has the gateways ask themselves, and shows what they got.
func (v *visit) showProbes() error {
	code := v.PathValue("code")
	f := frame{Title: "Seen: " + code, Nav: "markets"}
	if err := v.fill(&f); err != nil {
		return err
	}
	page, status := probePage{Code: code, Name: code}, http.StatusOK
	var j api.Jurisdiction
	if v.get("/v1/jurisdictions/"+url.PathEscape(code), &j) == nil {
		page.Name = j.Name
	}
	if err := v.post("/v1/jurisdictions/"+url.PathEscape(code)+"/probes", nil, &page.Probes); err != nil {
		page.Problem = asProblem(err)
		status = page.Problem.Status
	}
	page.Requests, page.Unwanted = page.Probes.Count()
	f.Body = page
	return v.render(status, "probe", f)
}
