package console

import (
	"fmt"
	"strconv"
	"time"

	"github.com/exitgate/exitgate/internal/zonedtime"
	"github.com/exitgate/exitgate/policy"
)

// moment writes a time for people, in UTC: "2026-12-01 00:00 UTC".
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// there writes a time as a place has it, and in UTC: "Tuesday 1 December 2026, 00:00
// Europe/Paris (2026-11-30 23:00 UTC)".
func there(t time.Time, code policy.Code, zone string) string {
	local := zonedtime.In(t, zone, policy.ZoneOf(code))
	if _, offset := local.Zone(); offset == 0 {
		return t.UTC().Format("Monday 2 January 2006, 15:04 UTC")
	}
	return fmt.Sprintf("%s %s (%s)", local.Format("Monday 2 January 2006, 15:04"), local.Location(), moment(t))
}

// left writes how long something takes yet: "5 d 20 h", "41 min".
func left(t, now time.Time) string { return span(t.Sub(now)) }

// lately writes when something was: the time of today, the day of another one.
func lately(t, now time.Time) string {
	if t.UTC().Format(time.DateOnly) == now.UTC().Format(time.DateOnly) {
		return t.UTC().Format("15:04")
	}
	return t.UTC().Format("2 Jan")
}

func span(d time.Duration) string {
	switch days, hours, minutes := int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60; {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d.Seconds())))
	case days >= 2*365:
		return fmt.Sprintf("%d y", days/365)
	case days >= 10:
		return fmt.Sprintf("%d d", days)
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	default:
		return fmt.Sprintf("%d min", minutes)
	}
}

// plural writes how many there are of something.
func plural(n any, of string) string {
	text := formatCount(n)
	if text == "1" {
		return "1 " + of
	}
	return text + " " + of + "s"
}

// formatCount writes a number as people read it: 1,904.
func formatCount(n any) string {
	var text string
	switch n := n.(type) {
	case uint64:
		text = strconv.FormatUint(n, 10)
	case int:
		text = strconv.Itoa(n)
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
