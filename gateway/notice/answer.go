package notice

import "strconv"

// A Field is one header field of an Answer. Its name is in the canonical form
// of net/http; HTTP/2 and HTTP/3 want it in lower case.
type Field struct {
	Name  string
	Value string
}

// An Answer is a response, ready to be sent. Answers are shared by all
// requests that get them: read them, don't change them.
type Answer struct {
	// Status is the HTTP status: for gRPC 200, as its protocol wants.
	Status int
	// Header lists the fields in the order in which to send them. Fields of
	// one name (Link) follow each other.
	Header []Field
	// Body is empty for gRPC (Trailers-Only) and for 304.
	Body []byte

	// lines is Header again, as net/http wants it, so that a Write doesn't
	// allocate.
	lines []line
}

type line struct {
	name   string
	values []string
}

func newAnswer(status int, header []Field, body []byte) *Answer {
	if len(body) > 0 {
		header = append(header, Field{"Content-Length", strconv.Itoa(len(body))})
	}
	a := &Answer{Status: status, Header: header, Body: body}
	for i, f := range header {
		if i > 0 && header[i-1].Name == f.Name {
			last := &a.lines[len(a.lines)-1]
			last.values = append(last.values, f.Value)
			continue
		}
		a.lines = append(a.lines, line{f.Name, []string{f.Value}})
	}
	for i := range a.lines {
		// Without spare capacity: who adds a value to a response's header
		// gets a copy, and doesn't write into what all requests share.
		v := a.lines[i].values
		a.lines[i].values = v[:len(v):len(v)]
	}
	return a
}

// size is about what the answer holds in memory, in bytes.
func (a *Answer) size() int {
	n := len(a.Body)
	for _, f := range a.Header {
		n += 2*len(f.Name) + len(f.Value) + 128
	}
	return n
}
