package iso3166

import "strings"

// Closest returns the known code that a mistyped one may have meant, for
// advice, or "" if there is none: UK is GB, FRA is FR, us_ms is US-MS,
// FR-1 is FR-01, FR-75 is FR-75C, Germany is DE. It would rather return nothing
// than a code for another place. A known code is returned as it is.
//
// It is slow next to a look-up, up to half a millisecond.
func Closest(code string) string {
	if len(code) > 100 {
		return "" // longer than any name
	}
	hyphens := strings.NewReplacer("_", "-", " ", "-", "/", "-", ".", "-", ":", "-", "–", "-", "‑", "-")
	written := hyphens.Replace(strings.ToUpper(strings.TrimSpace(code)))
	country, rest, divided := strings.Cut(written, "-")
	country = closestCountry(country)
	switch {
	case country != "" && !divided:
		return country
	case country != "" && rest != "":
		if found := closestSubdivision(country, rest); found != "" {
			return found
		}
	case !divided && len(written) > 3: // USMS
		if _, ok := LookupSubdivision(written[:2] + "-" + written[2:]); ok {
			return written[:2] + "-" + written[2:]
		}
	}
	return findName(strings.TrimSpace(code))
}

func closestCountry(code string) string {
	if _, ok := LookupCountry(code); ok {
		return code
	}
	if line, ok := wrongCodes.find(code); ok {
		return second(line)
	}
	if len(code) == 3 {
		for line := range countries.lines() {
			if alpha3, _, _ := strings.Cut(second(line), " "); alpha3 == code {
				return codeOf(line)
			}
		}
	}
	return ""
}

func closestSubdivision(country, rest string) string {
	written := Current(country + "-" + rest)
	if _, ok := LookupSubdivision(written); ok {
		return written
	}
	if code, ok := Alias(written); ok {
		return code // FR-RE, withdrawn
	}
	for _, zeros := range []string{"0", "00"} {
		if _, ok := LookupSubdivision(country + "-" + zeros + rest); ok {
			return country + "-" + zeros + rest
		}
	}
	return ""
}

// findName returns the code of the only place with this name, in any case of
// letters. The beginning of a country's name will do: Russia, Iran.
func findName(name string) string {
	if len(name) < 4 {
		return ""
	}
	var candidate string
	candidates := 0
	for c := range Countries() {
		if strings.EqualFold(c.Name, name) {
			return c.Code
		}
		if len(c.Name) > len(name) && strings.EqualFold(c.Name[:len(name)], name) {
			candidate = c.Code
			candidates++
		}
	}
	if candidates == 0 {
		for line := range subdivisions.lines() {
			if s := parseSubdivision(line); strings.EqualFold(s.Name, name) {
				candidate = s.Code
				candidates++
			}
		}
	}
	if candidates != 1 {
		return ""
	}
	return candidate
}
