package notice

import (
	"net/http"
	"strconv"

	"github.com/exitgate/exitgate/policy"
)

// Announcement returns the header fields that tell a client of a market that
// ends, on forwarded responses as on refusals: Deprecation (RFC 9745), Sunset
// (RFC 8594) and a Link to the market status. It returns nil while the market
// is open, and leaves out a date that the policy doesn't give.
func Announcement(d *policy.Decision) []Field {
	if d.Phase == policy.Open {
		return nil
	}
	var fields []Field
	if !d.Announced.IsZero() {
		fields = append(fields, Field{"Deprecation", "@" + strconv.FormatInt(d.Announced.Unix(), 10)})
	}
	if !d.Sunset.IsZero() {
		fields = append(fields, Field{"Sunset", d.Sunset.UTC().Format(http.TimeFormat)})
	}
	return append(fields, Field{"Link", "<" + policy.StatusPath + `>; rel="sunset"`})
}
