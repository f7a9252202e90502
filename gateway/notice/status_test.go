package notice_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/policy"
)

var elsewhere = policy.PublicMarket{Jurisdiction: policy.Default}

var markets = []policy.PublicMarket{
	{Jurisdiction: "BR", Places: []policy.Code{"BR"}, Phase: policy.Announced, Since: october1, Sunset: december1, Next: []policy.Step{
		{From: november1, Phase: policy.ClosedToNew}, {From: december1, Phase: policy.Withdrawn}},
		Because: []policy.Demand{narcotrafic, secret, retention}},
	{Jurisdiction: "CA", Places: []policy.Code{"CA"}, Features: []policy.MarketFeature{{Routes: []string{"news", "video"}, Phase: policy.Withdrawn}}},
	{Jurisdiction: "EU", Places: []policy.Code{"FR", "RE"}, Phase: policy.ClosedToNew, Features: []policy.MarketFeature{{Routes: []string{"news"}, Phase: policy.Withdrawn}}},
	{Jurisdiction: "IE", Places: []policy.Code{"IE"}, Phase: policy.Open},
	{Jurisdiction: "US-MS", Places: []policy.Code{"US-MS"}, UnknownParts: []policy.Code{"US"}, Phase: policy.Withdrawn, Since: october1, Sunset: october1, Because: []policy.Demand{secret, nameless}},
	{Jurisdiction: policy.Anonymous, Places: []policy.Code{policy.Anonymous}, Phase: policy.WindDown},
	elsewhere,
}

var asOf = time.Date(2026, 10, 15, 12, 30, 45, 0, time.UTC)

func marketStatus(markets []policy.PublicMarket) *notice.Status {
	return notice.NewStatus(markets, names)
}

func TestMarketStatus(t *testing.T) {
	s := marketStatus(markets)
	golden(t, "status-json", wire(s.For(asOf, nil, nil, nil)))
	golden(t, "status-page-en", wire(s.For(asOf, []string{"text/html"}, []string{"en"}, nil)))
	golden(t, "status-page-ar", wire(s.For(asOf, []string{"text/html"}, []string{"ar"}, nil)))
	golden(t, "status-page-of-no-market", wire(marketStatus([]policy.PublicMarket{elsewhere}).For(asOf, []string{"text/html"}, nil, nil)))
	golden(t, "status-json-of-no-market", wire(marketStatus([]policy.PublicMarket{elsewhere}).For(asOf, nil, nil, nil)))
}

func TestPeopleGetTheStatusAsAPageAndProgramsAsJSON(t *testing.T) {
	s := marketStatus(markets)
	for accept, want := range map[string]string{
		"":                                     "application/json",
		"*/*":                                  "application/json",
		"application/json":                     "application/json",
		"text/plain":                           "application/json",
		"image/png":                            "application/json",
		"text/html,*/*;q=0.8":                  "text/html; charset=utf-8",
		"application/json;q=0.5,text/html;q=1": "text/html; charset=utf-8",
	} {
		if got := get(s.For(asOf, []string{accept}, nil, nil), "Content-Type"); got != want {
			t.Errorf("Accept %q gets %s, want %s", accept, got, want)
		}
	}
}

func TestTheStatusIsNotSentAgainToWhoHasIt(t *testing.T) {
	s := marketStatus(markets)
	etag := get(s.For(asOf, nil, nil, nil), "Etag")
	page := get(s.For(asOf, []string{"text/html"}, nil, nil), "Etag")
	if etag == page || !strings.HasPrefix(etag, `W/"`) {
		t.Fatalf("JSON has the tag %s, the page %s", etag, page)
	}
	for has, want := range map[string]int{
		"": 200, `"other"`: 200, page: 200, strings.Trim(etag, `W/"`): 200,
		etag: 304, strings.TrimPrefix(etag, "W/"): 304, `"other", ` + etag: 304, "*": 304,
	} {
		a := s.For(asOf, nil, nil, []string{has})
		w := httptest.NewRecorder()
		a.Write(w, httptest.NewRequest(http.MethodGet, policy.StatusPath, nil))
		if a.Status != want || (w.Body.Len() == 0) != (want == 304) || get(a, "Etag") != etag {
			t.Errorf("who has %s gets %d with %d bytes and tag %s, want %d", has, a.Status, w.Body.Len(), get(a, "Etag"), want)
		}
	}
}
