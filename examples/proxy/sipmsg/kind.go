package sipmsg

// Kind names a header field that the proxy knows. The name's compact form is
// the same Kind (RFC 3261 section 7.3.3 and the registry of compact names).
type Kind uint8

// The header fields that the proxy, its hooks or its policy read.
const (
	Other Kind = iota // any other field

	// These must not occur twice with different values (R4).
	From
	To
	CallID
	CSeq
	ContentLength
	MaxForwards
	MaxBreadth

	Via
	Contact
	Route
	RecordRoute
	ContentType
	Expires
	Path
	Supported
	Require
	ProxyRequire
	UserAgent
	Allow
	PAssertedIdentity
	Authorization
	ProxyAuthorization
	WWWAuthenticate
	ProxyAuthenticate
	Reason
	Timestamp
	numKinds

	lastSingle = MaxBreadth
)

var names = [numKinds]string{
	"", "From", "To", "Call-ID", "CSeq", "Content-Length", "Max-Forwards", "Max-Breadth", "Via", "Contact", "Route",
	"Record-Route", "Content-Type", "Expires", "Path", "Supported", "Require", "Proxy-Require", "User-Agent", "Allow",
	"P-Asserted-Identity", "Authorization", "Proxy-Authorization", "WWW-Authenticate", "Proxy-Authenticate",
	"Reason", "Timestamp",
}

// compactNames are the long names of the registered compact ones.
var compactNames = ['z' + 1]string{
	'a': "Accept-Contact",
	'b': "Referred-By",
	'c': "Content-Type",
	'd': "Request-Disposition",
	'e': "Content-Encoding",
	'f': "From",
	'i': "Call-ID",
	'j': "Reject-Contact",
	'k': "Supported",
	'l': "Content-Length",
	'm': "Contact",
	'n': "Identity-Info",
	'o': "Event",
	'r': "Refer-To",
	's': "Subject",
	't': "To",
	'u': "Allow-Events",
	'v': "Via",
	'x': "Session-Expires",
	'y': "Identity",
}

// kindTable has each kind at the slot of its name.
var kindTable = func() (t [64]Kind) {
	for k := Other + 1; k < numKinds; k++ {
		t[slot(names[k])] = k
	}
	return t
}()

// slot gives each of the names a number of its own, whatever its case. Should
// a new one need that of another, its test fails, and other factors help.
func slot(name string) byte {
	return ((name[0] | 0x20) + (name[len(name)-1]|0x20)*3 + byte(len(name))*18) % 64
}

// String returns the long name of k, "" for [Other].
func (k Kind) String() string {
	if k >= numKinds {
		return ""
	}
	return names[k]
}

// longName returns the long form of a field name; the name itself if it is no
// compact one.
func longName(name string) string {
	if len(name) != 1 {
		return name
	}
	if c := name[0] | 0x20; c <= 'z' && compactNames[c] != "" {
		return compactNames[c]
	}
	return name
}

// kindOf returns the kind of a field name in either form, in any case.
func kindOf(name string) Kind {
	if name = longName(name); name == "" {
		return Other
	}
	k := kindTable[slot(name)]
	if n := names[k]; n == name || equalFold(n, name) {
		return k
	}
	return Other
}
