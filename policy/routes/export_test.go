package routes

// Find returns the index, in what New was given, of the rule that decides.
func (t *Table) Find(method, host, escapedPath string) (rule int, ok bool) {
	if l := t.find(method, host, escapedPath); l != nil {
		return l.rule, true
	}
	return 0, false
}
