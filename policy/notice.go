package policy

import "slices"

// A Notice is what a refused client is told, beside what the decision itself
// says. The zero Notice is complete: every text has a built-in version.
type Notice struct {
	Status        int             `yaml:"status" doc:"HTTP status of the refusal: 451 (RFC 7725), 403, 404 or 410." default:"451"`
	BlockedBy     string          `yaml:"blocked-by" doc:"Address of a page of who blocks, sent as Link rel=blocked-by (RFC 7725)."`
	Appeal        string          `yaml:"appeal" doc:"Address where a refused person can appeal."`
	Export        string          `yaml:"export" doc:"Address where people can take their data with them."`
	SignIn        string          `yaml:"sign-in" doc:"Address where people can sign in."`
	DeleteAccount string          `yaml:"delete-account" doc:"Address where people can delete their account."`
	Refunds       string          `yaml:"refunds" doc:"Address where people get their money back."`
	Zone          string          `yaml:"zone" doc:"The time zone in which dates are given, by its name in the tz database: Europe/Paris. Default: that of the country, of several that of its capital."`
	Texts         map[string]Text `yaml:"texts" doc:"The operator's own words by language (BCP 47), instead of the built-in ones."`
}

// A NoticeLink is an address in a Notice.
type NoticeLink struct{ Field, Address string }

// Links returns the addresses that the notice has, in the order of its fields.
func (n Notice) Links() []NoticeLink {
	all := []NoticeLink{
		{"blocked-by", n.BlockedBy}, {"appeal", n.Appeal}, {"export", n.Export},
		{"sign-in", n.SignIn}, {"delete-account", n.DeleteAccount}, {"refunds", n.Refunds},
	}
	return slices.DeleteFunc(all, func(l NoticeLink) bool { return l.Address == "" })
}

// A Text is the operator's own wording of a notice in one language. An empty
// field keeps the built-in wording. {jurisdiction} and {date} stand for the
// place's name and the day the phase began, both in the text's language.
type Text struct {
	Title string `yaml:"title" doc:"Heading of the notice."`
	Body  string `yaml:"body" doc:"What is refused and why, in plain text; an empty line starts a paragraph."`
}
