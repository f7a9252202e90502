package wire

import "time"

// A budget is for what a client may ask for now and then, and costs more than it is
// worth when it is asked for without end. Honest use fills it again.
type budget struct {
	left, most float64
	perSecond  float64
	last       time.Time
}

func newBudget(most, perSecond float64, now time.Time) budget {
	return budget{left: most, most: most, perSecond: perSecond, last: now}
}

// spend takes one from the budget, and reports whether there was one.
func (b *budget) spend(now time.Time) bool {
	if since := now.Sub(b.last); since > 0 {
		b.left = min(b.most, b.left+b.perSecond*since.Seconds())
	}
	b.last = now
	b.left--
	return b.left >= 0
}

// earn adds to the budget, for something done that was worth it.
func (b *budget) earn(n float64) { b.left = min(b.most, b.left+n) }

// budgets are those of a connection.
type budgets struct{ resets, pings, settings, idle budget }

func newBudgets(now time.Time) budgets {
	return budgets{
		// A page that is left cancels all that it has asked for. Each answer that was
		// given whole allows one more.
		resets:   newBudget(1000, 100, now),
		pings:    newBudget(100, 10, now),
		settings: newBudget(50, 1, now),
		// A client that reads widens the window for each frame that it got: each frame
		// that was sent allows two more.
		idle: newBudget(2000, 200, now),
	}
}
