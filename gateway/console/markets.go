package console

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// A regions is tiles.json: where each country and territory has its tile.
type regions struct {
	Regions []struct {
		ID, Title   string
		Column, Row int
	}
	Tiles []struct {
		Code   policy.Code
		Region string
		Order  int
	}
}

var readRegions = sync.OnceValue(func() (r regions) {
	text, err := files.ReadFile("assets/tiles.json")
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		panic(err) // it is embedded
	}
	return r
})

// named is the region of what is neither a country nor a part of one.
const named = "named"

// A marketsPage is what the first page shows.
type marketsPage struct {
	Wants    []want
	Next     []upcoming
	Lately   []api.Record
	Counts   []phaseCount
	All      int
	Unknown  int // not enforced here
	Columns  [][]region
	Table    []tile
	Sort     string
	Query    string
	Phase    string
	Gateways int
	Since    time.Time
}

type phaseCount struct {
	Phase policy.Phase
	N     int
}

type region struct {
	ID, Title string
	Wide      bool // tiles of words
	Tiles     []tile
}

// A tile is a place on the board, or in the table.
type tile struct {
	api.Place
	face
	Shown   policy.Phase  // of the whole service
	Feature policy.Phase  // of the most restricted feature, if that is more
	Text    template.HTML // what it comes to on the page, if it is on the page of all markets
}

// A face is all that is seen of a tile on the board.
type face struct {
	Code, Classes, Find         string
	Sentence                    string    // all of it, in words
	Signs                       [3]string // "" for none
	Left                        string    // until the next step
	Mark                        string    // the class of what needs somebody: "bad", "unenf", "wait", or ""
	Changes                     int       // that wait
	ServedLength, RefusedLength int
}

// tileTexts are the texts of tiles, by what is seen: from one moment to the next most are
// the same.
type tileTexts struct {
	mu    sync.Mutex
	texts map[face]template.HTML
}

// maxTiles is how many are remembered: some looks at 250 countries and 1,000 parts of them.
const maxTiles = 1 << 13

func (c *Console) tileText(seen face) (template.HTML, error) {
	t := &c.tiles
	t.mu.Lock()
	defer t.mu.Unlock()
	if text, known := t.texts[seen]; known {
		return text, nil
	}
	text, err := c.part("markets", "tile", seen)
	if err != nil {
		return "", err
	}
	if len(t.texts) >= maxTiles || t.texts == nil {
		t.texts = make(map[face]template.HTML)
	}
	t.texts[seen] = template.HTML(text) // a template has made it
	return t.texts[seen], nil
}

// barLength is how long the line for a number of requests is, of 40.
func barLength(n uint64) int { return int(math.Round(math.Log10(float64(n)+1) / 6 * 40)) }

// HasFeature reports whether a feature is more restricted than the rest.
func (t tile) HasFeature() bool { return t.Feature > t.Shown }

// An upcoming is a step that comes.
type upcoming struct {
	Market policy.Market
	Others int // with the same step at the same moment
	Step   policy.Step
	Routes []string // only of these classes
}

// liveMarkets are the parts of the page that change while it is open, beside its board. The
// tally says itself where it goes, as the radio buttons around it stay as they are.
var liveMarkets = []string{"head", "brief", "tally"}

const (
	placesTarget = "/v1/places"
	lastRecords  = "/v1/log?limit=25"
)

func (a *answers) loadMarkets(q url.Values, by changes.Actor) (frame, error) {
	f := frame{Title: "Markets", Nav: "markets", Wide: true, Live: "/live?" + url.Values{"page": {"/?" + q.Encode()}}.Encode()}
	var together sync.WaitGroup                                     // the API is asked for all of it at once
	together.Go(func() { _, _ = get[api.Places](a, placesTarget) }) // an error is seen below
	together.Go(func() { _, _ = get[api.Log](a, lastRecords) })
	err := a.fill(&f, by)
	together.Wait()
	if err != nil {
		return f, err
	}
	type key struct{ markets string }
	body, err := a.once(key{q.Encode()}, func() (any, error) { return a.makeMarkets(q, f) }) // the same, whatever the roles
	f.Body = body
	return f, err
}

// makeMarkets makes what the page of all markets shows.
func (a *answers) makeMarkets(q url.Values, f frame) (marketsPage, error) {
	places, err := get[api.Places](a, placesTarget)
	if err != nil {
		return marketsPage{}, err
	}
	log, err := get[api.Log](a, lastRecords)
	if err != nil && f.Status.Source != "file" {
		return marketsPage{}, err
	}
	page := marketsPage{Wants: wantsOf(f.Status), Lately: lastChanges(log.Records), Next: nextSteps(f.Status.Markets), Query: q.Get("q"), Phase: q.Get("phase"), Sort: q.Get("sort"), Gateways: places.Gateways, Since: places.Since}
	tiles := make([]tile, 0, len(places.Places))
	counts := make(map[policy.Phase]int)
	for _, place := range places.Places {
		t := newTile(place, f)
		if t.Unenforced {
			page.Unknown++
		} else {
			counts[t.Shown]++
		}
		tiles = append(tiles, t)
	}
	page.All = len(tiles)
	for _, p := range policy.Phases() {
		page.Counts = append(page.Counts, phaseCount{p, counts[p]})
	}
	isTable := q.Get("view") == "table"
	if isTable {
		tiles = tabulate(tiles, page)
	}
	for i := range tiles {
		if tiles[i].Text, err = a.console.textOf(tiles[i], isTable); err != nil {
			return marketsPage{}, err
		}
	}
	if isTable {
		page.Table = tiles
	} else {
		page.Columns = arrange(tiles)
	}
	return page, nil
}

// textOf returns what a tile comes to on the page: on the board, or as a row of the table.
func (c *Console) textOf(t tile, isTable bool) (template.HTML, error) {
	if !isTable {
		return c.tileText(t.face)
	}
	text, err := c.part("markets", "row", t)
	return template.HTML(text), err // a template has made it
}

// A board is all tiles, or all rows, as they are followed.
type board struct {
	outline string // all around the tiles: those of two boards with the same are in the same places
	text    string
	tiles   []tile
}

// board returns the board of a page, whose text is given.
func (p marketsPage) board(text string) *board {
	b := &board{text: text, tiles: p.Table}
	outline := fmt.Sprint(p.Sort, p.Query, p.Phase, p.Gateways)
	for _, column := range p.Columns {
		for _, r := range column {
			outline += " " + r.ID
			b.tiles = append(b.tiles, r.Tiles...)
		}
	}
	for _, t := range b.tiles {
		outline += " " + t.Code
	}
	b.outline = outline
	return b
}

// compare writes what makes this board of another one, nil if there is none.
func (b *board) compare(w *strings.Builder, from *board) {
	if from == nil || from.outline != b.outline {
		writePartial(w, "board", b.text)
		return
	}
	for i, t := range b.tiles {
		if t.Text != from.tiles[i].Text {
			writePartial(w, "t-"+t.Code, string(t.Text))
		}
	}
}

// newTile returns what the board shows of a place.
func newTile(place api.Place, f frame) tile {
	t := tile{Place: place, Shown: place.Phase}
	if place.Routes != nil { // only some features, and all else is open
		t.Shown, t.Feature = policy.Open, place.Phase
	}
	for _, feature := range place.Features {
		t.Feature = max(t.Feature, feature.Phase)
	}
	isBad := place.Reason == policy.ByGuarantee
	for _, change := range f.Status.Pending {
		if slices.Contains(change.Jurisdictions, place.Jurisdiction) {
			t.Changes++
		}
	}
	if len(place.Next) > 0 && place.Routes == nil {
		t.Left = left(place.Next[0].From, f.Now)
		if fields := strings.Fields(t.Left); len(fields) > 2 { // a tile has room for the days
			t.Left = fields[0] + " " + fields[1]
		}
	}
	// It begins with what the tile shows, so that whoever says that means it (WCAG 2.5.3).
	var words strings.Builder
	fmt.Fprintf(&words, "%s, %s: %s", strings.TrimSpace(string(place.Jurisdiction)+" "+t.Left), place.Name, lowerWord(t.Shown))
	if t.Unenforced {
		words.WriteString(", not enforced here: it is served")
	}
	if t.HasFeature() {
		fmt.Fprintf(&words, "; %s is %s", strings.Join(slices.Concat(place.Routes, featureNames(place.Features)), ", "), lowerWord(t.Feature))
	}
	if len(place.Next) > 0 {
		what := ""
		if place.Routes != nil {
			what = strings.Join(place.Routes, ", ") + " "
		}
		fmt.Fprintf(&words, "; %s%s in %s", what, lowerWord(place.Next[0].Phase), left(place.Next[0].From, f.Now))
	}
	if place.Hour.Forwarded+place.Hour.Refused > 0 {
		fmt.Fprintf(&words, "; %s served, %s refused in the last hour", formatCount(place.Hour.Forwarded), formatCount(place.Hour.Refused))
	}
	if isBad {
		words.WriteString("; a flag is below its guarantee")
	}
	if t.Changes > 0 {
		fmt.Fprintf(&words, "; %d to approve", t.Changes)
	}
	t.Sentence = words.String()
	t.Code, t.Find = string(place.Jurisdiction), strings.ToLower(place.Name)+" "+string(place.Jurisdiction)
	t.ServedLength, t.RefusedLength = barLength(place.Hour.Forwarded), barLength(place.Hour.Refused)
	t.Classes, t.Signs = phaseClass(t.Shown), [3]string{"", phaseClass(t.Shown), ""}
	if t.HasFeature() {
		t.Signs[2] = phaseClass(t.Feature)
	}
	if t.Unenforced {
		t.Classes, t.Signs[0] = t.Classes+" unenf", "unenf"
	}
	switch {
	case isBad:
		t.Classes, t.Mark = t.Classes+" bad", "bad"
	case t.Unenforced:
		t.Mark = "unenf"
	case t.Changes > 0:
		t.Mark = "wait"
	}
	return t
}

func lowerWord(p policy.Phase) string { return strings.ToLower(phaseWord(p)) }

func featureNames(features []policy.MarketFeature) (names []string) {
	for _, f := range features {
		names = append(names, f.Routes...)
	}
	return names
}

// arrange puts tiles where people look for them: always in the same place.
func arrange(tiles []tile) [][]region {
	all := readRegions()
	where := make(map[policy.Code]string, len(all.Tiles))
	order := make(map[policy.Code]int, len(all.Tiles))
	for _, t := range all.Tiles {
		where[t.Code], order[t.Code] = t.Region, t.Order
	}
	byRegion := make(map[string][]tile)
	for _, t := range tiles {
		id, known := where[t.Jurisdiction]
		if country := policy.PlaceOf(t.Jurisdiction).Country; !known && country != "" {
			id, order[t.Jurisdiction] = where[country], order[country] // right behind its country
		} else if !known {
			id = named
		}
		byRegion[id] = append(byRegion[id], t)
	}
	columns := make([][]region, 3)
	for _, r := range all.Regions {
		in := byRegion[r.ID]
		if len(in) == 0 {
			continue
		}
		slices.SortFunc(in, func(a, b tile) int {
			return cmp.Or(cmp.Compare(order[a.Jurisdiction], order[b.Jurisdiction]), cmp.Compare(a.Jurisdiction, b.Jurisdiction))
		})
		columns[r.Column-1] = append(columns[r.Column-1], region{r.ID, r.Title, r.ID == named, in})
	}
	return columns
}

// tabulate returns the rows of the table, found and sorted.
func tabulate(tiles []tile, page marketsPage) []tile {
	query := strings.ToLower(strings.TrimSpace(page.Query))
	rows := slices.DeleteFunc(slices.Clone(tiles), func(t tile) bool {
		found := query == "" || strings.Contains(strings.ToLower(string(t.Jurisdiction)), query) || strings.Contains(strings.ToLower(t.Name), query)
		shown := page.Phase == "" || page.Phase == "all" || page.Phase == phaseClass(t.Shown) && !t.Unenforced || page.Phase == "unenf" && t.Unenforced
		return !found || !shown
	})
	by := map[string]func(a, b tile) int{
		"name":    func(a, b tile) int { return cmp.Compare(a.Name, b.Name) },
		"code":    func(a, b tile) int { return cmp.Compare(a.Jurisdiction, b.Jurisdiction) },
		"served":  func(a, b tile) int { return cmp.Compare(b.Hour.Forwarded, a.Hour.Forwarded) },
		"refused": func(a, b tile) int { return cmp.Compare(b.Hour.Refused, a.Hour.Refused) },
		"next": func(a, b tile) int {
			return cmp.Or(cmp.Compare(len(b.Next), 0)-cmp.Compare(len(a.Next), 0), nextOf(a).Compare(nextOf(b)))
		},
	}[page.Sort]
	if by == nil {
		by = func(a, b tile) int { return cmp.Or(cmp.Compare(b.Shown, a.Shown), cmp.Compare(b.Feature, a.Feature)) }
	}
	slices.SortStableFunc(rows, func(a, b tile) int { return cmp.Or(by(a, b), cmp.Compare(a.Jurisdiction, b.Jurisdiction)) })
	return rows
}

func nextOf(t tile) time.Time {
	if len(t.Next) == 0 {
		return time.Time{}
	}
	return t.Next[0].From
}

// nextSteps returns the steps that come next, those of the same moment together.
func nextSteps(markets []api.Market) []upcoming {
	const most = 5
	var all []upcoming
	add := func(m policy.Market, steps []policy.Step, routes []string) {
		for _, step := range steps {
			i := slices.IndexFunc(all, func(u upcoming) bool {
				return u.Step.From.Equal(step.From) && u.Step.Phase == step.Phase && slices.Equal(u.Routes, routes)
			})
			if i >= 0 {
				all[i].Others++
			} else {
				all = append(all, upcoming{Market: m, Step: step, Routes: routes})
			}
		}
	}
	for _, m := range markets {
		add(m.Market, m.Next, m.Routes)
		for _, f := range m.Features {
			add(m.Market, f.Next, f.Routes)
		}
	}
	slices.SortStableFunc(all, func(a, b upcoming) int { return a.Step.From.Compare(b.Step.From) })
	return all[:min(len(all), most)]
}

// lastChanges returns the last records by which something came into force or took place.
func lastChanges(records []api.Record) []api.Record {
	const most = 5
	var all []api.Record
	for _, r := range records {
		if r.Refused == "" && len(all) < most && (isInForce(r) || r.Took != nil) {
			all = append(all, r)
		}
	}
	return all
}
