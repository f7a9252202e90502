package policy

// A Notice is what a refused client is told, beside what the decision itself
// says. The zero Notice is complete: every text has a built-in version.
type Notice struct {
	Status    int             `yaml:"status" doc:"HTTP status of the refusal: 451 (RFC 7725), 403, 404 or 410." default:"451"`
	BlockedBy string          `yaml:"blocked-by" doc:"Address of a page of who blocks, sent as Link rel=blocked-by (RFC 7725)."`
	Appeal    string          `yaml:"appeal" doc:"Address where a refused person can appeal."`
	Export    string          `yaml:"export" doc:"Address where people can take their data with them."`
	Texts     map[string]Text `yaml:"texts" doc:"The operator's own words by language (BCP 47), instead of the built-in ones."`
}

// A Text is the operator's own wording of a notice in one language. An empty
// field keeps the built-in wording. {jurisdiction} and {date} stand for the
// place's name and the day the phase began, both in the text's language.
type Text struct {
	Title string `yaml:"title" doc:"Heading of the notice."`
	Body  string `yaml:"body" doc:"What is refused and why, in plain text; an empty line starts a paragraph."`
}
