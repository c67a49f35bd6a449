package console

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
)

// list is a result that is printed while it comes, in the memory of one
// element: lines, or one JSON document with an array.
type list struct {
	w    *bufio.Writer
	json *json.Encoder // to w; nil for lines
	some bool          // elements have been printed
}

// element is an element of a list.
type element interface {
	print(w io.Writer) error // as a line
}

// list begins a list, with the name of the array or the heading of the lines.
func (p *printer) list(name, heading string) (*list, error) {
	p.printed = true
	l := &list{w: bufio.NewWriter(p.w)}
	if p.json {
		l.json = newEncoder(l.w)
		heading = "{\"" + name + "\": [\n"
	}
	_, err := l.w.WriteString(heading)
	return l, err
}

// add prints an element.
func (l *list) add(e element) error {
	if l.json == nil {
		return e.print(l.w)
	}
	if l.some {
		l.w.WriteByte(',') // an error stays until Flush
	}
	l.some = true
	return l.json.Encode(e)
}

// end ends the list, which is whole unless failed says why it is not, and
// returns failed. The document is one in any case.
func (l *list) end(failed error) error {
	if l.json != nil {
		l.w.WriteByte(']')
		if failed != nil {
			l.w.WriteString(", \"error\": ")
			l.json.Encode(failed.Error())
		}
		l.w.WriteString("}\n")
	}
	return errors.Join(failed, l.w.Flush())
}
