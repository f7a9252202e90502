package console

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/zonedtime"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/iso3166"
	"github.com/exitgate/exitgate/policy/plan"
)

// A changePage is what the page for changing a market shows, with what was typed.
type changePage struct {
	Market      policy.Market
	Form        url.Values
	Territories []string // codes of the country's
	HasParts    bool
	Zone        string
	Plan        *planned
	Problem     *api.Problem // why it can't be planned, or wasn't done
	Emergency   bool
}

// Value returns what was typed.
func (p changePage) Value(name string) string { return p.Form.Get(name) }

// A planned is a plan as pages show it.
type planned struct {
	api.Plan
	Diff    []diffLine
	Names   []string // of which one is to be typed, if it withdraws; the first is for people
	IsTyped bool
	Key     string // by which it is done once, however often it is sent
	AtOnce  bool   // it is an emergency: in force before anybody else has agreed
}

type diffLine struct {
	Class, Text string
}

// Hits returns how many requests of the last day a move would have decided otherwise.
func (p planned) Hits(i int) uint64 {
	if p.Hit == nil || i >= len(p.Hit.Day.Moves) {
		return 0
	}
	return p.Hit.Day.Moves[i]
}

// showChange shows a change of a market, and what it would do, and proposes it.
func (v *visit) showChange() error {
	code := v.PathValue("code")
	var j api.Jurisdiction
	if err := v.get("/v1/jurisdictions/"+url.PathEscape(code), &j); err != nil {
		return err
	}
	page := changePage{Market: j.Market.Market, Form: v.form(), HasParts: hasParts(j.Jurisdiction)}
	page.Zone = zoneName(page.Market)
	for _, t := range iso3166.Territories(code) {
		page.Territories = append(page.Territories, string(t))
	}
	f := frame{Title: "Change " + j.Name, Nav: "markets"}
	status := http.StatusOK
	if v.Method == http.MethodPost {
		proposal, err := page.proposal()
		if err == nil {
			var done bool
			if page.Plan, done, err = v.planOrPropose(proposal, page.Form, j.Name, string(j.Jurisdiction)); done {
				return nil
			}
		}
		if err != nil {
			page.Problem = asProblem(err)
			status = page.Problem.Status
		}
	}
	f.Body = page
	return v.render(v.statusFor(status), "change", f)
}

// statusFor returns with what a page is sent: to a script, that swaps it in, always
// with 200.
func (v *visit) statusFor(status int) int {
	if v.Header.Get("HX-Request") != "" {
		return http.StatusOK
	}
	return status
}

func (v *visit) form() url.Values {
	if v.Method == http.MethodPost {
		return v.PostForm
	}
	query := v.URL.Query()
	query.Del("typed") // a link doesn't type for anybody
	return query
}

// hasParts reports whether a country has subdivisions.
func hasParts(code policy.Code) bool {
	for range iso3166.Subdivisions(string(code)) {
		return true
	}
	return false
}

func zoneName(m policy.Market) string {
	return cmp.Or(m.Zone, policy.ZoneOf(m.Jurisdiction), "UTC")
}

// proposal reads what was typed.
func (p changePage) proposal() (proposal api.Proposal, err error) {
	set := &api.Set{Jurisdiction: p.Market.Jurisdiction}
	if p.Value("phase") == "" {
		return proposal, problem(http.StatusBadRequest, "It isn’t said what it gets.", "Choose a phase.")
	}
	if err := set.Phase.UnmarshalText([]byte(p.Value("phase"))); err != nil {
		return proposal, problem(http.StatusBadRequest, err.Error(), "Choose a phase.")
	}
	if p.Value("when") == "later" {
		if set.From, err = parseMoment(p.Value("day"), p.Value("time"), p.Value("zone"), p.Zone); err != nil {
			return proposal, err
		}
	}
	if t := p.Value("territories"); t != "" {
		if set.Territories, err = policy.ParseTerritories(t); err != nil {
			return proposal, problem(http.StatusBadRequest, err.Error(), "Choose all or none.")
		}
	}
	set.UnknownPart = policy.UnknownPart(p.Value("unknown-part"))
	set.Drain = strings.TrimSpace(p.Value("drain"))
	proposal = api.Proposal{Set: set, Because: strings.TrimSpace(p.Value("because")), Backdated: p.Value("backdated") != ""}
	if text := p.Value("change"); text != "" { // one that waits is edited
		if proposal.Change, err = strconv.ParseUint(text, 10, 64); err != nil {
			return proposal, problem(http.StatusBadRequest, "There is no such change.", "See the changes that wait.")
		}
	}
	return proposal, nil
}

// parseMoment reads a day and a time as a place has them, or in UTC.
func parseMoment(day, clock, zone, local string) (time.Time, error) {
	where := time.UTC
	if zone != "utc" {
		loaded, err := time.LoadLocation(local)
		if err != nil {
			return time.Time{}, problem(http.StatusBadRequest, "The time zone "+local+" isn’t known.", "Give the time in UTC.")
		}
		where = loaded
	}
	if clock == "" {
		if t, err := time.Parse(time.DateOnly, strings.TrimSpace(day)); err == nil {
			return zonedtime.StartOfDay(t.Year(), t.Month(), t.Day(), where), nil
		}
	}
	text := strings.TrimSpace(day) + " " + strings.TrimSpace(clock)
	t, err := time.ParseInLocation("2006-01-02 15:04", text, where)
	if err != nil {
		return t, problem(http.StatusBadRequest, "The day or the time can’t be read.", "Write the day as 2026-12-01 and the time as 00:00.")
	}
	if t.Format("2006-01-02 15:04") != text {
		return t, problem(http.StatusBadRequest, "There is no such time on that day there, as the clocks are set.", "Choose another time.")
	}
	return t, nil
}

// planOrPropose plans what was typed, and proposes it if that is asked for, and what
// was planned is what was read. done says that the answer is sent.
func (v *visit) planOrPropose(proposal api.Proposal, form url.Values, names ...string) (p *planned, done bool, err error) {
	p, err = v.plan(proposal, names...)
	if err != nil || form.Get("act") != "propose" {
		return p, false, err
	}
	p.IsTyped = p.Names == nil || matches(form.Get("typed"), p.Names)
	switch {
	case form.Get("plan") != p.Plan.Plan.Hash || form.Get("base") != strconv.FormatUint(p.Revision, 10):
		return p, false, problem(http.StatusConflict, "It would do something else by now than what you have read.", "Read what it would do now, and send it again.")
	case proposal.Because == "":
		return p, false, problem(http.StatusBadRequest, "There is no reason.", "Say why: it is kept for whoever reads the log.")
	case !p.IsTyped:
		return p, false, problem(http.StatusBadRequest, "The name that was typed isn’t "+p.Names[0]+".", "Type the name of the market: it is the question whether you mean it.")
	case len(form.Get("key")) < 16:
		return p, false, problem(http.StatusBadRequest, "The form is not as it was sent.", "Open the page again.")
	}
	proposal.Plan = p.Plan.Plan.Hash
	var change api.Change
	method, target := http.MethodPost, "/v1/changes"
	if proposal.Change != 0 {
		method, target = http.MethodPut, fmt.Sprintf("/v1/changes/%d", proposal.Change)
	}
	err = v.ask(method, target, proposal, &change, "If-Match", `"`+strconv.FormatUint(p.Revision, 10)+`"`, "Idempotency-Key", form.Get("key"))
	if err != nil {
		return p, false, err
	}
	v.redirect(whereTo(change))
	return p, true, nil
}

// whereTo returns the page that shows what came of a change.
func whereTo(change api.Change) string {
	if change.InForce != nil {
		return fmt.Sprintf("/revisions/%d?done", change.InForce.Number)
	}
	return fmt.Sprintf("/changes#n%d", change.Number)
}

// redirect sends somebody to another page.
func (v *visit) redirect(target string) {
	if v.Header.Get("HX-Request") != "" {
		v.writer.Header().Set("HX-Redirect", target)
		v.writer.WriteHeader(http.StatusNoContent)
		return
	}
	http.Redirect(v.writer, v.Request, target, http.StatusSeeOther)
}

// plan asks what a proposal would do. names are those of the market, of which one has
// to be typed if it is withdrawn.
func (v *visit) plan(proposal api.Proposal, names ...string) (*planned, error) {
	p := &planned{Key: rand.Text()}
	asked := proposal
	asked.Because = ""
	if err := v.post("/v1/plan", asked, &p.Plan); err != nil {
		return nil, err
	}
	var before api.Policy
	if err := v.get("/v1/policy", &before); err != nil {
		return nil, err
	}
	p.Diff = compare(before.Policy, p.Policy)
	p.AtOnce = proposal.Emergency
	if p.Plan.Plan.HasEffect(plan.WithdrawsMarket) {
		p.Names = names
	}
	return p, nil
}

// matches reports whether what was typed is one of some names.
func matches(typed string, names []string) bool {
	for _, name := range names {
		if strings.EqualFold(strings.TrimSpace(typed), name) {
			return true
		}
	}
	return false
}

// compare returns which lines of a text are others.
func compare(before, after string) (lines []diffLine) {
	if before == after || before == api.NotDisclosed || after == api.NotDisclosed {
		return nil
	}
	all := strings.Split(strings.TrimSuffix(string(diff.Diff("before", []byte(before), "after", []byte(after))), "\n"), "\n")
	for _, line := range all[min(3, len(all)):] { // the rest names files
		class := ""
		switch {
		case strings.HasPrefix(line, "+"):
			class = "added"
		case strings.HasPrefix(line, "-"):
			class = "removed"
		case strings.HasPrefix(line, "@"):
			class = "soft"
		}
		lines = append(lines, diffLine{class, line})
	}
	return lines
}

// showEmergency withdraws a market at once.
func (v *visit) showEmergency() error {
	form := v.form()
	page := changePage{Form: form, Emergency: true}
	f := frame{Title: "Emergency"}
	status := http.StatusOK
	if err := v.fill(&f); err != nil {
		return err
	}
	if code := v.findMarket(form.Get("market")); code != "" {
		var j api.Jurisdiction
		if err := v.get("/v1/jurisdictions/"+url.PathEscape(code), &j); err != nil {
			return err
		}
		page.Market = j.Market.Market
		for _, t := range iso3166.Territories(code) {
			page.Territories = append(page.Territories, string(t))
		}
		done, err := v.planEmergency(&page)
		if done {
			return nil
		}
		if err != nil {
			page.Problem = asProblem(err)
			status = page.Problem.Status
		}
	} else if form.Get("market") != "" {
		page.Problem = asProblem(problem(http.StatusNotFound, "There is no market "+form.Get("market")+".", "Write its name, or its code as FR or US-MS."))
		status = http.StatusNotFound
	}
	f.Body = page
	return v.render(v.statusFor(status), "emergency", f)
}

func (v *visit) planEmergency(page *changePage) (done bool, err error) {
	set := &api.Set{Jurisdiction: page.Market.Jurisdiction, Phase: policy.Withdrawn}
	if page.Value("phase") == policy.WindDown.String() {
		set.Phase = policy.WindDown
	}
	territories := page.Value("territories")
	if territories == "" && page.Territories != nil {
		territories = "all" // whoever is in a hurry means all of it, and sees it
		page.Form = cloneWith(page.Form, "territories", territories)
	}
	if territories != "" {
		if set.Territories, err = policy.ParseTerritories(territories); err != nil {
			return false, problem(http.StatusBadRequest, err.Error(), "Choose all or none.")
		}
	}
	proposal := api.Proposal{Set: set, Emergency: true, Because: strings.TrimSpace(page.Value("because"))}
	form := page.Form
	if v.Method != http.MethodPost || form.Get("act") != "propose" {
		page.Plan, err = v.plan(proposal, page.Market.Name, string(page.Market.Jurisdiction))
		return false, err
	}
	if form.Get("read") == "" {
		if page.Plan, err = v.plan(proposal, page.Market.Name, string(page.Market.Jurisdiction)); err != nil {
			return false, err
		}
		return false, problem(http.StatusBadRequest, "It isn’t ticked that you have read what it does.", "Read it, and tick it.")
	}
	page.Plan, done, err = v.planOrPropose(proposal, form, page.Market.Name, string(page.Market.Jurisdiction))
	return done, err
}

func cloneWith(form url.Values, name, value string) url.Values {
	clone := make(url.Values, len(form)+1)
	for k, all := range form {
		clone[k] = all
	}
	clone.Set(name, value)
	return clone
}

// findMarket returns the code of what somebody has typed: a code, or a name.
func (v *visit) findMarket(text string) string {
	text = strings.TrimSpace(text)
	if at := strings.LastIndexByte(text, '('); at >= 0 && strings.HasSuffix(text, ")") { // "France (FR)", not "Virgin Islands (British)"
		if code := text[at+1 : len(text)-1]; policy.IsPlace(policy.Code(code)) {
			return code
		}
	}
	if text == "" {
		return ""
	}
	if code := strings.ToUpper(text); policy.IsPlace(policy.Code(code)) {
		return code
	}
	var places api.Places
	if v.get("/v1/places", &places) != nil {
		return ""
	}
	for _, p := range places.Places {
		if strings.EqualFold(p.Name, text) || string(p.Jurisdiction) == text {
			return string(p.Jurisdiction)
		}
	}
	return ""
}

// showRestore puts the policy of an earlier revision in force again.
func (v *visit) showRestore() error {
	number, err := v.number()
	if err != nil {
		return err
	}
	form := v.form()
	page := restorePage{Number: number, Form: form}
	var status api.Status
	if err := v.get("/v1/status", &status); err != nil {
		return err
	}
	page.Undoes = status.InForce != nil && status.InForce.Base == number
	proposal := api.Proposal{Rollback: number, Because: strings.TrimSpace(form.Get("because"))}
	if page.Undoes && status.InForce.Emergency && slices.Contains(status.InForce.Authors, status.You.Name) && form.Get("emergency") != "" {
		// Its author takes it back alone, for some minutes; all others as anything else.
		if p, err := v.plan(proposal); err == nil && p != nil {
			page.Emergency = p.Plan.Emergency
		}
	}
	proposal.Emergency = page.Emergency
	code := http.StatusOK
	var done bool
	if v.Method == http.MethodPost {
		page.Plan, done, err = v.planOrPropose(proposal, form)
	} else {
		page.Plan, err = v.plan(proposal)
	}
	if done {
		return nil
	}
	if err != nil {
		page.Problem = asProblem(err)
		code = page.Problem.Status
	}
	page.InForce = status.Revision
	return v.render(v.statusFor(code), "restore", frame{Title: fmt.Sprintf("Restore revision %d", number), Nav: "log", Status: status, Body: page})
}

// A restorePage is what the page for going back to a revision shows.
type restorePage struct {
	Number, InForce uint64
	Undoes          bool // the revision in force, and nothing else
	Emergency       bool
	Form            url.Values
	Plan            *planned
	Problem         *api.Problem
}

// Value returns what was typed.
func (p restorePage) Value(name string) string { return p.Form.Get(name) }

// number returns the number in the path.
func (v *visit) number() (uint64, error) {
	n, err := strconv.ParseUint(v.PathValue("number"), 10, 64)
	if err != nil || n == 0 {
		return 0, problem(http.StatusNotFound, "There is no such page.", "")
	}
	return n, nil
}
