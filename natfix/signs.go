package natfix

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Signs is the set of signs that a sender is behind NAT. The bits have the
// numbers that the nat_uac_test function of OpenSIPS 3.x gives them. The zero
// Signs is none.
type Signs uint8

const (
	PrivateContact      Signs = 1 << iota // a Contact host is private
	ViaMismatch                           // the top Via host is not the source
	PrivateVia                            // the top Via host is private
	PrivateSDP                            // a media address (c=) is private
	PortMismatch                          // the top Via port is not the source port
	ContactMismatch                       // a Contact host is not the source
	ContactPortMismatch                   // a Contact port is not the source port
)

// DefaultSigns is the usual selection for phones over UDP. Over connections the
// source port is one of the phone's choosing, so that PortMismatch and
// ContactPortMismatch say nothing there.
const DefaultSigns = PrivateContact | ViaMismatch | PrivateVia | PortMismatch

// ErrUnknownSign reports a name or number that ParseSigns does not know.
var ErrUnknownSign = errors.New("natfix: unknown sign")

// carrierGrade widens other tests in OpenSIPS. Here IsPrivate always knows
// those ranges, so it is accepted and adds nothing.
const (
	carrierGrade     = 128
	carrierGradeName = "carrier-grade-nat"
)

// signNames returns the names by bit number.
func signNames() [7]string {
	return [...]string{
		"private-contact", "diff-ip-src-via", "private-via", "private-sdp",
		"diff-port-src-via", "diff-ip-src-contact", "diff-port-src-contact",
	}
}

// ParseSigns parses names and numbers as OpenSIPS has them, separated by
// commas or blanks: "private-contact,diff-ip-src-via", "19". Names are matched
// without regard to case. Text without any name is the zero Signs. The
// error lists every unknown name and wraps ErrUnknownSign.
func ParseSigns(text string) (Signs, error) {
	var (
		signs Signs
		errs  []error
	)
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		s, ok := parseSign(word)
		if !ok {
			errs = append(errs, fmt.Errorf("%w: %q", ErrUnknownSign, word))
		}
		signs |= s
	}
	return signs, errors.Join(errs...)
}

func parseSign(word string) (Signs, bool) {
	if n, err := strconv.ParseUint(word, 10, 8); err == nil {
		return Signs(n &^ carrierGrade), true
	}
	for i, name := range signNames() {
		if strings.EqualFold(word, name) {
			return 1 << i, true
		}
	}
	return 0, strings.EqualFold(word, carrierGradeName)
}

// String returns the names of s, separated by commas.
func (s Signs) String() string {
	var names []string
	for i, name := range signNames() {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// MarshalText returns what String returns.
func (s Signs) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}

// UnmarshalText sets s to what ParseSigns makes of text.
func (s *Signs) UnmarshalText(text []byte) error {
	signs, err := ParseSigns(string(text))
	if err != nil {
		return err
	}
	*s = signs
	return nil
}
