package request

import (
	"net/netip"
	"strings"
)

// Hosts finds what belongs to a host: an exact name goes before a wildcard, and
// that before any. It is immutable.
type Hosts[T any] struct {
	exact    map[string]T
	wildcard map[string]T // by the name behind "*"
	any      *T
}

// NewHosts returns Hosts by patterns: names, *.example.org for one label more,
// * for any.
func NewHosts[T any](byPattern map[string]T) *Hosts[T] {
	h := &Hosts[T]{exact: make(map[string]T), wildcard: make(map[string]T)}
	for pattern, value := range byPattern {
		switch {
		case pattern == "*":
			h.any = &value
		case strings.HasPrefix(pattern, "*."):
			h.wildcard[pattern[1:]] = value
		default:
			h.exact[pattern] = value
		}
	}
	return h
}

// Names reports whether a pattern other than * is for a host, in the form of Hostname.
func (h *Hosts[T]) Names(host string) bool {
	_, exact := h.exact[host]
	_, wildcard := h.wildcard[host[max(strings.IndexByte(host, '.'), 0):]]
	return exact || wildcard
}

// Find looks up a host, in the form of Hostname.
func (h *Hosts[T]) Find(host string) (found T, ok bool) {
	if found, ok = h.exact[host]; ok {
		return found, true
	}
	if dot := strings.IndexByte(host, '.'); dot > 0 {
		if found, ok = h.wildcard[host[dot:]]; ok {
			return found, true
		}
	}
	if h.any != nil {
		return *h.any, true
	}
	return found, false
}

// Hostname returns the name of a Host field or :authority, in lower case,
// without port, brackets and trailing dot; false if it is not one (RFC 9110
// section 7.2).
func Hostname(host string) (string, bool) {
	name := host
	if strings.HasPrefix(name, "[") {
		end := strings.IndexByte(name, ']')
		if end < 0 || !isPort(name[end+1:]) {
			return "", false
		}
		ip, err := netip.ParseAddr(name[1:end])
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", false
		}
		return ip.String(), true
	}
	if colon := strings.IndexByte(name, ':'); colon >= 0 {
		if !isPort(name[colon:]) {
			return "", false
		}
		name = name[:colon]
	}
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 || name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, "..") {
		return "", false
	}
	upper := false
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		case 'A' <= c && c <= 'Z':
			upper = true
		default:
			return "", false
		}
	}
	if upper {
		name = strings.ToLower(name)
	}
	return name, true
}

// isPort reports whether text is nothing, or a colon and a port.
func isPort(text string) bool {
	port, found := strings.CutPrefix(text, ":")
	return text == "" || found && len(port) <= 5 && strings.Trim(port, "0123456789") == ""
}
