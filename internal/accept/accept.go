// Package accept reads the header fields in which clients list what they accept,
// with the quality of each item: Accept, Accept-Language.
package accept

import "strings"

// What is read of a list; the rest is ignored.
const (
	maxBytes = 1 << 10
	maxItems = 16
)

// Each calls visit with each item of a field such as Accept or
// Accept-Language and with its quality in thousandths, 1000 if it has none
// (RFC 9110, section 12.4.2), until visit returns false. Parameters other than
// q are dropped; an item whose quality makes no sense is left out. lines are
// the field's lines.
func Each(lines []string, visit func(item string, quality int) bool) {
	budget, items := maxBytes, 0
	for _, line := range lines {
		for line != "" && items < maxItems {
			if len(line) > budget {
				line = line[:budget]
				// What stands before the cut may be half an item.
				cut := strings.LastIndexByte(line, ',')
				if cut < 0 {
					return
				}
				line, budget = line[:cut], cut
			}
			end := itemEnd(line)
			item, quality, ok := weighted(line[:end])
			if ok && !visit(item, quality) {
				return
			}
			items++
			next := min(end+1, len(line))
			budget -= next
			line = line[next:]
		}
	}
}

// itemEnd returns where the list's first item ends: at a comma outside quotes,
// or at the end.
func itemEnd(list string) int {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch list[i] {
		case '"':
			quoted = !quoted
		case '\\':
			if quoted {
				i++
			}
		case ',':
			if !quoted {
				return i
			}
		}
	}
	return len(list)
}

// weighted reads an item and its quality; not ok if there is no item or no
// quality in what stands for it.
func weighted(item string) (name string, quality int, ok bool) {
	name, parameters, _ := strings.Cut(item, ";")
	name = strings.Trim(name, " \t")
	for parameter := ""; parameters != ""; {
		parameter, parameters, _ = strings.Cut(parameters, ";")
		parameter = strings.Trim(parameter, " \t")
		if len(parameter) >= 2 && parameter[0]|0x20 == 'q' && parameter[1] == '=' {
			quality, ok := thousandths(parameter[2:])
			return name, quality, ok && name != ""
		}
	}
	return name, 1000, name != ""
}

// thousandths reads a qvalue: 0 to 1 with at most three decimals.
func thousandths(qvalue string) (int, bool) {
	if qvalue == "" || qvalue[0] != '0' && qvalue[0] != '1' || len(qvalue) > 5 || len(qvalue) > 1 && qvalue[1] != '.' {
		return 0, false
	}
	n, decimals := int(qvalue[0]-'0'), qvalue[min(2, len(qvalue)):]
	for i := range 3 {
		n *= 10
		if i < len(decimals) {
			if decimals[i] < '0' || decimals[i] > '9' {
				return 0, false
			}
			n += int(decimals[i] - '0')
		}
	}
	return n, n <= 1000
}
