package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
)

// An explainPage is what the page that explains shows.
type explainPage struct {
	Form    url.Values
	Answer  *api.Explanation
	Problem *api.Problem
}

// Value returns what was typed.
func (p explainPage) Value(name string) string { return p.Form.Get(name) }

// showExplain says what a client gets, and why.
func (v *visit) showExplain() error {
	page := explainPage{Form: v.URL.Query()}
	status := http.StatusOK
	if text := strings.TrimSpace(page.Value("address")); text != "" {
		q := api.Question{Address: text, Method: page.Value("method"), Host: page.Value("host"), Path: page.Value("path")}
		if policy.IsPlace(policy.Code(strings.ToUpper(text))) {
			q.Address, q.Jurisdiction = "", policy.Code(strings.ToUpper(text))
		} else if text == string(policy.Anonymous) || text == string(policy.Unlocated) || text == string(policy.Private) {
			q.Address, q.Jurisdiction = "", policy.Code(text)
		}
		var err error
		if day := page.Value("day"); day != "" {
			var at time.Time
			if at, err = parseMoment(day, page.Value("time"), "utc", ""); err == nil {
				q.At = at
			}
		}
		var answer api.Explanation
		if err == nil {
			err = v.post("/v1/explain", q, &answer)
		}
		if err != nil {
			page.Problem = asProblem(err)
			status = page.Problem.Status
		} else {
			page.Answer = &answer
		}
	}
	return v.render(v.statusFor(status), "explain", frame{Title: "Explain", Nav: "explain", Body: page})
}
