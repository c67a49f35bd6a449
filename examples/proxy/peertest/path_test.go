package peertest

import (
	"fmt"
	"testing"
)

// A PBX of two customers with the same extension, whose phones have the same user in
// their Contacts, calls them by the Path that it got, as an Asterisk with
// support_path=yes does: beside a Contact of ours or the phone's own (P-12, P-29).
func TestPath(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"own":      {"register: {path: on}"},
		"preserve": {"register: {path: on, contact: preserve}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			same := []string{fmt.Sprintf("{uri: \"sip:%v\"}", s.pbx(0))}
			s.start(settings{tenants: []tenant{{pbxes: same, lines: lines}, {pbxes: same, lines: lines}}})
			var phones, boards [2]*end
			for i := range phones {
				phones[i], boards[i] = s.odd(i, i, "402"), s.board(0)
				boards[i].path = true
				p := s.begin(registers(), phones[i], boards[i])
				boards[i].dials = p.wait()
				boards[i].path, boards[i].route = false, p.path
			}
			for i := range phones {
				other := s.udp("the other phone", s.phone(1-i))
				s.play(join(calls(pbx, phone), inDialog(pbx, phone), hangsUp(pbx, phone)), phones[i], boards[i])
				s.play(canceled(pbx, phone), phones[i], boards[i])
				other.wantNothing()
				other.close()
			}
			if name == "preserve" { // else the Request-URI has the token too
				boards[0].route += "x"
				s.gone(boards[0], boards[0].dials)
			}
		})
	}
}
