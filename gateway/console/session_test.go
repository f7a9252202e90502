package console

import (
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy/changes"
)

// Nobody takes anybody else's place, however often they sign in, ask for links or open pages.
func TestSessions_limitsAreByName(t *testing.T) {
	now := time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)
	s := newSessions(func() time.Time { now = now.Add(time.Millisecond); return now })
	c := &Console{sessions: s}
	as := func(name string) Identity {
		return func() (changes.Actor, bool) { return changes.Actor{Name: name}, true }
	}
	s.begin(as("ann"), changes.Actor{Name: "ann"})
	c.NewLink(as("ann"))
	if _, ok := s.beginStream("ann"); !ok {
		t.Fatal("ann can't open a page")
	}
	for range 2000 {
		s.begin(as("vic"), changes.Actor{Name: "vic"})
		c.NewLink(as("vic"))
		s.beginStream("vic")
	}
	of := map[string][3]int{}
	for _, one := range s.byCookie {
		n := of[one.name]
		n[0]++
		of[one.name] = n
	}
	for _, one := range s.links {
		n := of[one.name]
		n[1]++
		of[one.name] = n
	}
	for name, count := range s.streams {
		n := of[name]
		n[2] = count
		of[name] = n
	}
	if of["ann"] != [3]int{1, 1, 1} || of["vic"] != [3]int{maxSessionOf, maxLinksOf, maxStreamsOf} {
		t.Errorf("there are %v", of)
	}
}

// What a policy says begins no event of its own.
func TestFormatEvent(t *testing.T) {
	got := formatEvent("", "a\r\nb\revent: signed-out\rdata: x\nc")
	if want := "data: a\ndata: b\ndata: event: signed-out\ndata: data: x\ndata: c\n\n"; got != want {
		t.Errorf("it is %q", got)
	}
}
