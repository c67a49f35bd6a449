package peertest

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sipward/sipward/internal/programtest"
)

// play tells a story between a phone and a PBX, each of them a SIPp, and
// returns the Contact that the PBX got if a phone registers in it. An actor
// whose end is nil does not play.
func (s *site) play(st story, phoneEnd, pbxEnd *end) (contact string) {
	s.t.Helper()
	return s.begin(st, phoneEnd, pbxEnd).wait()
}

// performance is a story that is being told.
type performance struct {
	t    *testing.T
	runs []*sippRun
	path string // that the PBX got if a phone registers and it keeps that
}

// begin starts a story and does not wait for its end.
func (s *site) begin(st story, phoneEnd, pbxEnd *end) *performance {
	s.t.Helper()
	if err := st.compile(); err != nil {
		s.t.Fatal(err)
	}
	p := &performance{t: s.t}
	ends := [2]*end{phone: phoneEnd, pbx: pbxEnd}
	first := st[0].from // the other one must listen already
	for _, a := range []actor{1 - first, first} {
		if ends[a] != nil {
			p.runs = append(p.runs, s.sipp(render(st, a, ends), a, ends[a], a != first))
		}
	}
	return p
}

// wait waits until all of the story is told.
func (p *performance) wait() (contact string) {
	p.t.Helper()
	for _, r := range p.runs {
		if !r.succeeded() {
			for _, r := range p.runs {
				r.process.kill()
				p.t.Errorf("%s", r.report())
			}
			p.t.FailNow()
		}
		if all := strings.Fields(r.read("log")); len(all) > 0 {
			contact = all[len(all)-1]
			p.path = all[max(len(all)-2, 0)]
		}
	}
	return contact
}

// sippRun is one SIPp.
type sippRun struct {
	*process
	actor actor
	dir   string
}

// sipp starts a SIPp at an end.
func (s *site) sipp(scenario string, a actor, e *end, listens bool) *sippRun {
	s.t.Helper()
	r := &sippRun{actor: a, dir: s.t.TempDir()}
	if err := os.WriteFile(r.file("xml"), []byte(scenario), 0o600); err != nil {
		s.t.Fatal(err)
	}
	ip, transport := e.at.Addr().String(), "u1"
	if e.tcp {
		transport = "t1"
	}
	to := e.to
	if !to.IsValid() {
		to = s.proxy()
	}
	r.process = launch(s.t, r.dir, nil, programtest.Need(s.t, "sipp"), to.String(),
		"-sf", r.file("xml"), "-t", transport, "-m", fmt.Sprint(max(1, e.times)), "-nostdin",
		"-i", ip, "-p", fmt.Sprint(e.at.Port()), "-bind_local", "-mi", ip, "-ci", ip,
		"-timeout", patience.String(), "-timeout_error", "-recv_timeout", fmt.Sprint(patience.Milliseconds()*2/3),
		"-watchdog_interval", "0", // no complaints about a slow machine
		"-trace_err", "-error_file", r.file("err"), "-trace_msg", "-message_file", r.file("msg"),
		"-trace_logs", "-log_file", r.file("log"))
	if listens {
		eventually(s.t, "SIPp listens", func() bool {
			select {
			case <-r.done:
				return true
			default:
				return listening(e.at, e.tcp)
			}
		})
	}
	return r
}

func (r *sippRun) file(ext string) string {
	return filepath.Join(r.dir, r.actor.String()+"."+ext)
}

func (r *sippRun) read(ext string) string {
	b, _ := os.ReadFile(r.file(ext)) // that is not there if SIPp had nothing to write
	return string(b)
}

// succeeded waits for the end. A message that SIPp got and that was not in its
// scenario is a failure, too.
func (r *sippRun) succeeded() bool {
	code, ok := r.process.wait(2 * patience)
	return ok && code == 0 && r.read("err") == ""
}

// report says how it went. A failure without a word from SIPp is that of a
// check of the scenario.
func (r *sippRun) report() string {
	code, ok := r.process.wait(0)
	return fmt.Sprintf("SIPp as %v: exit code %d, in time: %v\n%s\nscreen: %s\nmessages:\n%s",
		r.actor, code, ok, r.read("err"), tail(r.out.String(), 5), tail(r.read("msg"), 150))
}

// listening reports whether some process has an address, as the kernel tells:
// binding it to find out would keep SIPp from doing so.
func listening(at netip.AddrPort, tcp bool) bool {
	table := "/proc/net/udp"
	if tcp {
		table = "/proc/net/tcp"
	}
	f, err := os.Open(table)
	if err != nil {
		return false
	}
	defer f.Close()
	a := at.Addr().As4()
	want := fmt.Sprintf("%02X%02X%02X%02X:%04X", a[3], a[2], a[1], a[0], at.Port())
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if cols := strings.Fields(lines.Text()); len(cols) > 1 && cols[1] == want {
			return true
		}
	}
	return false
}
