package gateway

import (
	"net/netip"
	"strings"
)

// hosts finds what belongs to a host: an exact name goes before a wildcard,
// and that before any.
type hosts[T any] struct {
	exact    map[string]T
	wildcard map[string]T // by the name behind "*"
	any      *T
}

func (h *hosts[T]) add(pattern string, value T) {
	if h.exact == nil {
		h.exact, h.wildcard = map[string]T{}, map[string]T{}
	}
	switch {
	case pattern == "*":
		h.any = &value
	case strings.HasPrefix(pattern, "*."):
		h.wildcard[pattern[1:]] = value
	default:
		h.exact[pattern] = value
	}
}

// find looks a host up, in the form of hostname.
func (h *hosts[T]) find(host string) (found T, ok bool) {
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

// hostname returns the name of a Host field or :authority, in lower case,
// without port, brackets and trailing dot; false if it is not one (RFC 9110
// section 7.2).
func hostname(host string) (string, bool) {
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

// isPort says whether text is nothing, or a colon and a port.
func isPort(text string) bool {
	if text == "" {
		return true
	}
	if text[0] != ':' || len(text) > 6 {
		return false
	}
	for i := 1; i < len(text); i++ {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}
