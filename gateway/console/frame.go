package console

import (
	"bytes"
	"cmp"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/plan"
)

// A frame is what all pages have around them.
type frame struct {
	Title  string
	Nav    string // the place among the five, "" for none
	Live   string // what is followed while the page is open; by default what all pages have
	Wide   bool
	Body   any
	Main   template.HTML // what the body comes to, if it is made already
	Status api.Status
	Token  string // that forms have to send
	Now    time.Time
	assets map[string]asset
}

// ReadOnly reports whether nothing can be changed here, whoever asks.
func (f frame) ReadOnly() bool { return f.Status.Source == "file" }

// Can reports whether whoever is signed in may do what takes one of some roles.
func (f frame) Can(roles ...changes.Role) bool {
	return !f.ReadOnly() && slices.ContainsFunc(roles, func(r changes.Role) bool { return slices.Contains(f.Status.You.Roles, r) })
}

// Asset returns where a file of the console is. The address changes with the file.
func (f frame) Asset(name string) string { return "/assets/" + name + "?" + f.assets[name].tag }

// fill adds to a frame what all pages show to somebody: with the mark of a token.
func (a *answers) fill(f *frame, by changes.Actor) (err error) {
	f.Live = cmp.Or(f.Live, livePath)
	f.Token, f.assets = a.console.tokenMark, a.console.assets
	if f.Status.Time.IsZero() {
		if f.Status, err = get[api.Status](a, "/v1/status"); err != nil {
			return err
		}
	}
	f.Status.You = you(by)
	f.Now = f.Status.Time.UTC()
	return nil
}

// fill adds to a frame what all pages show, to who looks.
func (v *visit) fill(f *frame) error {
	if err := v.answers().fill(f, v.by); err != nil {
		return err
	}
	f.Token = v.session.token
	return nil
}

// answers returns what the API answers now to who looks, and all who may know the same.
func (v *visit) answers() *answers { return v.console.answersTo(v.by, time.Time{}) }

// render sends a page. Nothing is sent before all of it is made.
func (v *visit) render(status int, page string, f frame) error {
	if err := v.fill(&f); err != nil {
		return err
	}
	if f.Status.Waiting == api.PolicyUnknown && page != "account" { // all else would be about nobody's policy
		status, page = v.statusFor(http.StatusServiceUnavailable), "unavailable"
		f.Title, f.Main, f.Body = "No policy is known yet", "", failures(f.Status)
	}
	var text bytes.Buffer
	if err := v.console.templates[page].ExecuteTemplate(&text, "frame.html", f); err != nil {
		return err
	}
	v.writer.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.writer.WriteHeader(status)
	_, _ = v.writer.Write(text.Bytes()) // the client went away
	return nil
}

// functions are what templates use.
var functions = template.FuncMap{
	"word":      phaseWord,
	"class":     phaseClass,
	"moment":    moment,
	"there":     there,
	"left":      left,
	"lately":    lately,
	"count":     formatCount,
	"join":      strings.Join,
	"joinCodes": joinCodes,
	"name":      func(code policy.Code) string { return policy.Name(code) },
	"phases":    policy.Phases,
	"effects":   describeEffects,
	"utc":       func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"date":      func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
	"short":     func(hash string) string { return hash[:min(len(hash), 12)] },
	"lower":     strings.ToLower,
	"roles":     joinRoles,
	"isNear":    func(days *int) bool { return *days <= near },
	"initials":  initials,
	"clock":     func(t time.Time) string { return t.UTC().Format("15:04") },
	"plural":    plural,
	"add":       func(a, b int) int { return a + b },
	"dict": func(pairs ...any) map[string]any {
		m := make(map[string]any, len(pairs)/2)
		for i := 0; i+1 < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	},
}

// phaseWord is what people call a phase.
func phaseWord(p policy.Phase) string {
	return [...]string{"Open", "Announced", "Closed to new", "Wind-down", "Withdrawn"}[p]
}

// phaseClass is what the stylesheet, and the signs, call it.
func phaseClass(p policy.Phase) string {
	return [...]string{"op", "ann", "new", "wind", "gone"}[p]
}

func joinRoles(roles []changes.Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, ", ")
}

func joinCodes(codes []policy.Code) string {
	words := make([]string, len(codes))
	for i, code := range codes {
		words[i] = string(code)
	}
	return strings.Join(words, ", ")
}

// initials are two letters for a name.
func initials(name string) string {
	name = strings.ToUpper(name[strings.LastIndexByte(name, ':')+1:])
	if len(name) < 2 {
		return name
	}
	return name[:2]
}

// describeEffects says what a plan comes to.
func describeEffects(effects []plan.Effect) string {
	words := map[plan.Effect]string{
		plan.WeakensApprovals: "fewer approvals are needed", plan.OpensMarket: "somebody gets more than before",
		plan.WeakensGuarantee: "a guarantee is weaker", plan.WeakensDemand: "a demand binds less",
		plan.AcknowledgesBreach: "a breach is acknowledged", plan.WithdrawsMarket: "somebody gets less than before",
		plan.ChangesOther: "other changes",
	}
	var all []string
	for _, e := range effects {
		all = append(all, words[e])
	}
	text := strings.Join(all, "; ")
	if text == "" {
		return "Nothing changes"
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
