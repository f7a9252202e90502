package console

import (
	"net/url"
	"regexp"
	"slices"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// A marketPage is what a market's page shows.
type marketPage struct {
	tile
	Explanation *policy.Explanation // nil: nobody is in it as such
	Gateways    int
	Parts       []tile // territories that go by the same entry, and parts that the policy names
	Demands     []policy.DemandStatus
	Pending     []changes.Change
	Records     []api.Record // that name it
}

func (a *answers) loadMarket(code string, by changes.Actor) (f frame, err error) {
	target := "/markets/" + url.PathEscape(code)
	f = frame{Nav: "markets", Live: "/live?" + url.Values{"page": {target}}.Encode()}
	if err := a.fill(&f, by); err != nil {
		return f, err
	}
	j, err := get[api.Jurisdiction](a, "/v1/jurisdictions/"+url.PathEscape(code))
	if err != nil {
		return f, err
	}
	places, err := get[api.Places](a, "/v1/places")
	if err != nil {
		return f, err
	}
	log, err := get[api.Log](a, "/v1/log?limit=200")
	if err != nil && f.Status.Source != "file" {
		return f, err
	}
	f.Title = j.Name
	place := api.Place{Market: j.Market, Entry: j.Jurisdiction}
	if j.Explanation != nil {
		place.Entry = j.Explanation.Decision.Entry
	}
	if i := slices.IndexFunc(places.Places, func(p api.Place) bool { return p.Jurisdiction == j.Jurisdiction }); i >= 0 {
		place = places.Places[i]
	}
	page := marketPage{tile: newTile(place, f), Explanation: j.Explanation, Gateways: places.Gateways}
	for _, p := range places.Places {
		country := policy.PlaceOf(p.Jurisdiction).Country
		if slices.Contains(j.Reaches, p.Jurisdiction) || country == j.Jurisdiction && p.Jurisdiction != j.Jurisdiction {
			page.Parts = append(page.Parts, newTile(p, f))
		}
	}
	reaching := []policy.Code{j.Jurisdiction}
	for _, m := range f.Status.Markets {
		if slices.Contains(m.Reaches, j.Jurisdiction) {
			reaching = append(reaching, m.Jurisdiction)
		}
	}
	for _, d := range f.Status.Demands {
		if slices.Contains(reaching, d.Jurisdiction) || slices.Contains(d.Territories.Of(d.Jurisdiction), j.Jurisdiction) {
			page.Demands = append(page.Demands, d)
		}
	}
	about := aboutCode(j.Jurisdiction)
	for _, c := range f.Status.Pending {
		if slices.Contains(c.Jurisdictions, j.Jurisdiction) {
			page.Pending = append(page.Pending, c)
		}
	}
	const most = 12
	for _, r := range log.Records {
		if about.MatchString(r.Summary) && len(page.Records) < most {
			page.Records = append(page.Records, r)
		}
	}
	f.Body = page
	return f, nil
}

// aboutCode finds a jurisdiction in a record's summary.
func aboutCode(code policy.Code) *regexp.Regexp {
	return regexp.MustCompile(`(^|[^A-Za-z0-9-])` + regexp.QuoteMeta(string(code)) + `($|[^A-Za-z0-9-])`)
}

// sendEvidence sends the file of evidence as the API has it.
func (v *visit) sendEvidence() error {
	code := v.PathValue("code")
	target := "/v1/evidence/" + url.PathEscape(code)
	return v.download(target, "evidence-"+url.PathEscape(code)+".json")
}
