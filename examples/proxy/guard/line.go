package guard

import (
	"fmt"
	"net/netip"
	"strings"
)

// RegistrationLine returns the line of a failed registration in the log, whose
// form stays as it is for programs that read it, such as fail2ban:
//
//	registration failed: 401@a.example from 198.51.100.7:5060 response 403 Forbidden
//
// Where the source may be forged, it begins "registration failed (unproven): ",
// lest somebody have others locked out. Nothing that the sender chooses has a
// space in it, so that no account can be named like the rest of a line.
func (f Failure) RegistrationLine(aor string, from netip.AddrPort, status int, phrase string) string {
	return fmt.Sprintf("registration failed%s: %s from %v response %d %s",
		f.mark(), word(aor), from, status, strings.Map(printable, phrase))
}

// KnockLine returns the line of a request that was turned away, as
// RegistrationLine does:
//
//	door knock: b.example from 198.51.100.7:5060 reason domain_not_found
func (f Failure) KnockLine(domain string, from netip.AddrPort, reason Reason) string {
	return fmt.Sprintf("door knock%s: %s from %v reason %v", f.mark(), word(domain), from, reason)
}

func (f Failure) mark() string {
	if f.Proven {
		return ""
	}
	return " (unproven)"
}

// longestWord is more than an AOR of RFC length needs.
const longestWord = 255

// word returns s as one word, "-" if there is nothing.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == ' ' {
			return '_'
		}
		return printable(r)
	}, s[:min(len(s), longestWord)])
	if s == "" {
		return "-"
	}
	return s
}

// printable replaces what is not printable ASCII, and the quotes and backslash
// that a log would write in another form.
func printable(r rune) rune {
	if r < ' ' || r > '~' || r == '"' || r == '\\' {
		return '_'
	}
	return r
}
