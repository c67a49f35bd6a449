package registrar

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// fields are the header fields of a REGISTER that matter here, as text: that
// works with every header table, and is the text the phone sent where sipgo
// did not parse it.
type fields struct {
	to, callID, cseq, expires, userAgent string

	contacts, path, allow []string
}

// read collects fields in one pass. Repeating a field that may occur once is an
// error unless the value is the same, since others might read the other one.
func read(headers []sip.Header) (fields, error) {
	var f fields
	for _, h := range headers {
		switch name := h.Name(); {
		case isContact(name):
			f.contacts = append(f.contacts, utf8Text(text(h)))
		case is(name, "Path"):
			f.path = append(f.path, h.Value())
		case is(name, "Allow"):
			f.allow = append(f.allow, h.Value())
		default:
			single := f.single(name)
			if single == nil {
				continue
			}
			value := strings.TrimSpace(text(h))
			if *single != "" && *single != value {
				return fields{}, fmt.Errorf("two values of %s", name)
			}
			*single = value
		}
	}
	return f, nil
}

// unreadable stands for bytes that are not UTF-8.
const unreadable = "\ufffd"

// utf8Text makes a value readable for package location. Old phones have display
// names in ISO 8859-1, which do no harm; a URI must not have such bytes.
func utf8Text(value string) string { return strings.ToValidUTF8(value, unreadable) }

// text returns the value of h, of an address without its display name. It does
// what Value of headers that sipgo has parsed does badly: that puts a second
// pair of quotes around what has blanks, and is slow for CSeq.
func text(h sip.Header) string {
	switch h := h.(type) {
	case *sip.ContactHeader:
		if !h.Address.Wildcard {
			return address(&h.Address, h.Params)
		}
	case *sip.ToHeader:
		return address(&h.Address, nil)
	case *sip.CSeqHeader:
		return strconv.FormatUint(uint64(h.SeqNo), 10) + " " + string(h.MethodName)
	}
	return h.Value()
}

func address(uri *sip.Uri, params sip.HeaderParams) string {
	var b strings.Builder
	b.WriteByte('<')
	uri.StringWrite(&b)
	b.WriteByte('>')
	for _, kv := range params {
		b.WriteByte(';')
		b.WriteString(kv.K)
		if kv.V != "" {
			b.WriteByte('=')
			b.WriteString(kv.V)
		}
	}
	return b.String()
}

// single returns where a field that may occur only once is kept, nil if it
// does not matter.
func (f *fields) single(name string) *string {
	switch {
	case is(name, "To"), is(name, "t"):
		return &f.to
	case is(name, "Call-ID"), is(name, "i"):
		return &f.callID
	case is(name, "CSeq"):
		return &f.cseq
	case is(name, "Expires"):
		return &f.expires
	case is(name, "User-Agent"):
		return &f.userAgent
	}
	return nil
}

func isContact(name string) bool {
	return is(name, "Contact") || is(name, "m")
}

// is compares header names. The length decides nearly always.
func is(name, want string) bool {
	return len(name) == len(want) && strings.EqualFold(name, want)
}

// parseCSeq returns the number of a CSeq of method (RFC 3261 section 20.16).
func parseCSeq(value string, method sip.RequestMethod) (uint32, error) {
	number, rest, _ := strings.Cut(strings.ReplaceAll(value, "\t", " "), " ")
	n, err := strconv.ParseUint(number, 10, 31) // section 8.1.1.5: less than 2**31
	if err != nil || strings.TrimSpace(rest) != string(method) {
		return 0, fmt.Errorf("bad CSeq %q", value)
	}
	return uint32(n), nil
}

// seconds parses delta-seconds (RFC 3261 section 20.19), more than 32 bits
// being as good as 32. Text that is no number is not ok.
func seconds(value string) (d time.Duration, ok bool) {
	value = strings.TrimSpace(value)
	if value == "" || strings.Trim(value, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		n = math.MaxUint32
	}
	return time.Duration(n) * time.Second, true
}
