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
	Problem    *api.Problem
}

// Amiss returns how many requests don't get what the policy wants.
func (p probePage) Amiss() (n int) {
	for _, g := range p.Probes.Gateways {
		for _, one := range g.Seen {
			if one.Refused != one.Wanted {
				n++
			}
		}
	}
	return n
}

// Seen returns how many requests there were.
func (p probePage) Seen() (n int) {
	for _, g := range p.Probes.Gateways {
		n += len(g.Seen)
	}
	return n
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
	f.Body = page
	return v.render(status, "probe", f)
}
