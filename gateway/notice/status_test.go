package notice_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/policy"
)

var markets = []notice.Market{
	{Jurisdiction: "BR", Phase: policy.Announced, Since: october1, Sunset: december1, Schedule: []policy.Step{
		{From: november1, Phase: policy.ClosedToNew}, {From: december1, Phase: policy.Withdrawn}},
		Because: []policy.Demand{narcotrafic, secret, retention}},
	{Jurisdiction: "CA", Phase: policy.Withdrawn, Routes: []string{"news", "video"}},
	{Jurisdiction: "IE", Phase: policy.Open},
	{Jurisdiction: "US-MS", Phase: policy.Withdrawn, Since: october1, Sunset: october1, Because: []policy.Demand{secret, nameless}},
	{Jurisdiction: policy.Anonymous, Phase: policy.WindDown},
}

func marketStatus(t testing.TB, markets []notice.Market) *notice.Status {
	t.Helper()
	s := notice.NewStatus(markets, names)
	return s
}

func TestMarketStatus(t *testing.T) {
	s := marketStatus(t, markets)
	golden(t, "status-json", wire(s.For(nil, nil, nil)))
	golden(t, "status-page-en", wire(s.For([]string{"text/html"}, []string{"en"}, nil)))
	golden(t, "status-page-ar", wire(s.For([]string{"text/html"}, []string{"ar"}, nil)))
	golden(t, "status-page-of-no-market", wire(marketStatus(t, nil).For([]string{"text/html"}, nil, nil)))
	golden(t, "status-json-of-no-market", wire(marketStatus(t, nil).For(nil, nil, nil)))
}

func TestPeopleGetTheStatusAsAPageAndProgramsAsJSON(t *testing.T) {
	s := marketStatus(t, markets)
	for accept, want := range map[string]string{
		"":                                     "application/json",
		"*/*":                                  "application/json",
		"application/json":                     "application/json",
		"text/plain":                           "application/json",
		"image/png":                            "application/json",
		"text/html,*/*;q=0.8":                  "text/html; charset=utf-8",
		"application/json;q=0.5,text/html;q=1": "text/html; charset=utf-8",
	} {
		if got := get(s.For([]string{accept}, nil, nil), "Content-Type"); got != want {
			t.Errorf("Accept %q gets %s, want %s", accept, got, want)
		}
	}
}

func TestTheStatusIsNotSentAgainToWhoHasIt(t *testing.T) {
	s := marketStatus(t, markets)
	etag := get(s.For(nil, nil, nil), "Etag")
	page := get(s.For([]string{"text/html"}, nil, nil), "Etag")
	if etag == page || !strings.HasPrefix(etag, `"`) {
		t.Fatalf("JSON has the tag %s, the page %s", etag, page)
	}
	for has, want := range map[string]int{
		"": 200, `"other"`: 200, page: 200, strings.Trim(etag, `"`): 200,
		etag: 304, "W/" + etag: 304, `"other", ` + etag: 304, "*": 304,
	} {
		a := s.For(nil, nil, []string{has})
		w := httptest.NewRecorder()
		a.Write(w, httptest.NewRequest(http.MethodGet, policy.StatusPath, nil))
		if a.Status != want || (w.Body.Len() == 0) != (want == 304) || get(a, "Etag") != etag {
			t.Errorf("who has %s gets %d with %d bytes and tag %s, want %d", has, a.Status, w.Body.Len(), get(a, "Etag"), want)
		}
	}
}
