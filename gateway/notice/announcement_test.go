package notice_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/policy"
)

func TestAnnouncement(t *testing.T) {
	link := notice.Field{Name: "Link", Value: `</.well-known/market-status>; rel="sunset"`}
	for name, c := range map[string]struct {
		decision policy.Decision
		want     []notice.Field
	}{
		"an open market announces nothing, though its end is scheduled": {
			policy.Decision{Phase: policy.Open, Announced: october1, Sunset: december1}, nil,
		},
		"an announced market says since when and until when": {
			policy.Decision{Phase: policy.Announced, Announced: october1, Sunset: december1},
			[]notice.Field{{Name: "Deprecation", Value: "@1790812800"}, {Name: "Sunset", Value: "Tue, 01 Dec 2026 00:00:00 GMT"}, link},
		},
		"dates are sent in UTC": {
			policy.Decision{Phase: policy.Announced, Announced: october1.In(time.FixedZone("", 7200)), Sunset: december1.In(time.FixedZone("", 7200))},
			[]notice.Field{{Name: "Deprecation", Value: "@1790812800"}, {Name: "Sunset", Value: "Tue, 01 Dec 2026 00:00:00 GMT"}, link},
		},
		"a market without an end has no sunset": {
			policy.Decision{Phase: policy.ClosedToNew, Announced: october1},
			[]notice.Field{{Name: "Deprecation", Value: "@1790812800"}, link},
		},
		"without any date there is the link": {
			policy.Decision{Phase: policy.Withdrawn}, []notice.Field{link},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, notice.Announcement(&c.decision)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
