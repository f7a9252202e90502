package wire

import (
	"strconv"

	"golang.org/x/net/http/httpguts"
)

// Fields are encoded without a dynamic table and without Huffman's code (RFC
// 7541): nothing is shared between two blocks, and little is computed.

// noDynamicTable tells the peer's decoder that its dynamic table is empty (RFC 7541,
// section 6.3). It is due at the begin of the first block after the peer has lowered
// the size of the table, though nothing is ever put there (section 4.2).
const noDynamicTable = 0x20

// appendStatus appends the pseudo-field :status.
func appendStatus(b []byte, status int) []byte {
	switch status {
	case 200:
		return append(b, 0x80|8)
	case 204:
		return append(b, 0x80|9)
	case 206:
		return append(b, 0x80|10)
	case 304:
		return append(b, 0x80|11)
	case 400:
		return append(b, 0x80|12)
	case 404:
		return append(b, 0x80|13)
	case 500:
		return append(b, 0x80|14)
	}
	b = append(b, 8, 3) // literal, the name by its index; a value of three digits
	return strconv.AppendInt(b, int64(status), 10)
}

// appendField appends a field, of a name in any letter case, as a literal without
// indexing (RFC 7541, section 6.2.2). What HTTP/2 can't carry is left out.
func appendField(b []byte, name, value string) []byte {
	if !httpguts.ValidHeaderFieldValue(value) {
		return b
	}
	if i := staticName(name); i != 0 {
		b = appendInteger(b, 4, uint64(i))
	} else {
		if !httpguts.ValidHeaderFieldName(name) {
			return b
		}
		b = append(b, 0)
		b = appendInteger(b, 7, uint64(len(name)))
		for i := range len(name) {
			c := name[i]
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			b = append(b, c)
		}
	}
	b = appendInteger(b, 7, uint64(len(value)))
	return append(b, value...)
}

// appendInteger appends an integer with a prefix of some bits (RFC 7541, section
// 5.1), of which all bits above are zero.
func appendInteger(b []byte, prefix int, n uint64) []byte {
	most := uint64(1)<<prefix - 1
	if n < most {
		return append(b, byte(n))
	}
	b = append(b, byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// staticName returns the index of a name of an answer's field, in the canonical form of
// net/http, in the static table (RFC 7541, appendix A), 0 if it isn't there.
func staticName(name string) int {
	switch name {
	case "Accept-Ranges":
		return 18
	case "Access-Control-Allow-Origin":
		return 20
	case "Age":
		return 21
	case "Allow":
		return 22
	case "Cache-Control":
		return 24
	case "Content-Disposition":
		return 25
	case "Content-Encoding":
		return 26
	case "Content-Language":
		return 27
	case "Content-Length":
		return 28
	case "Content-Location":
		return 29
	case "Content-Range":
		return 30
	case "Content-Type":
		return 31
	case "Date":
		return 33
	case "Etag":
		return 34
	case "Expires":
		return 36
	case "Last-Modified":
		return 44
	case "Link":
		return 45
	case "Location":
		return 46
	case "Refresh":
		return 52
	case "Retry-After":
		return 53
	case "Server":
		return 54
	case "Set-Cookie":
		return 55
	case "Strict-Transport-Security":
		return 56
	case "Vary":
		return 59
	case "Www-Authenticate":
		return 61
	}
	return 0
}
