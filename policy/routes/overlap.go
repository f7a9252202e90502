package routes

// Overlaps reports whether a request may match both patterns. Where that takes
// more than a look at their segments one by one, it reports true.
func (p Pattern) Overlaps(q Pattern) bool {
	if _, shared := compareMethods(p.method, q.method); !shared {
		return false
	}
	if p.host != "" && q.host != "" && p.host != q.host {
		return false
	}
	for i := range min(len(p.segments), len(q.segments)) {
		a, b := p.segments[i], q.segments[i]
		switch {
		case a.kind == rest || b.kind == rest:
			return true
		case a.kind == literal && b.kind == literal && a.text != b.text:
			return false
		}
	}
	return len(p.segments) == len(q.segments)
}
