package peertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sipward/sipward/internal/programtest"
)

// baresip starts the softphone as extension 401 of a tenant, on a transport. It
// answers calls by itself, without sound, and ends by itself after a while. For TLS
// it has the authority.
func (s *site) baresip(i int, network string, ca *authority) *process {
	s.t.Helper()
	proxy, trusts := s.proxy().String(), ""
	switch network {
	case "TCP":
		proxy += ";transport=tcp"
	case "TLS":
		proxy, trusts = s.stream("TLS").String()+";transport=tls", "sip_cafile "+ca.file+"\n"
	}
	program := programtest.Need(s.t, "baresip")
	dir := s.t.TempDir()
	for name, text := range map[string]string{
		"config": trusts + fmt.Sprintf("sip_listen %v\nnet_interface %v\nmodule_path %s\nmodule g711.so\n"+
			"module_tmp account.so\nmodule_app menu.so\n",
			s.phone(i), s.phone(i).Addr(), modules(s.t, program)),
		"accounts": fmt.Sprintf("<sip:401@%s>;auth_pass=secret;outbound=\"sip:%v\";answermode=auto;regint=60\n", domain(i), proxy),
		"contacts": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	p := launch(s.t, dir, nil, program, "-f", dir, "-t", "60", "-s")
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("baresip of %s:\n%s", domain(i), tail(p.errors.String()+p.out.String(), 80))
		}
	})
	return p
}

// modules returns the directory of baresip's modules, which belongs to where
// baresip is.
func modules(t *testing.T, program string) string {
	t.Helper()
	prefix := filepath.Dir(filepath.Dir(program))
	for _, lib := range []string{"lib", "lib64"} {
		dir := filepath.Join(prefix, lib, "baresip", "modules")
		if _, err := os.Stat(filepath.Join(dir, "g711.so")); err == nil {
			return dir
		}
	}
	t.Fatalf("the modules of %s are nowhere", program)
	return ""
}

// Two real softphones are extension 401 of two tenants. Each is called by its
// own PBX and answers, while the other one stays silent.
func TestBaresip(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"UDP", "TCP", "TLS"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ca := s.authority()
			s.softphones(s.onStreams(ca, t.TempDir()), network, ca)
		})
	}
}

// softphones plays [TestBaresip].
func (s *site) softphones(c settings, network string, ca *authority) {
	t := s.t
	t.Helper()
	c.tenants = tenants(2)
	p := s.start(c)
	var boards [2]*asterisk
	var softphones [2]*process
	for i := range boards {
		boards[i] = s.asterisk(fmt.Sprint("PBX ", i), s.pbx(i))
		softphones[i] = s.baresip(i, network, ca)
	}
	var contacts [2]string
	for i, a := range boards {
		contacts[i] = a.contact("401")
	}
	eventually(t, "both are registered", func() bool { return p.state().Bindings == 2 })
	for i, a := range boards {
		d := a.dial(contacts[i])
		answer := d.expect("200 INVITE")
		if ua := answer.get("User-Agent") + answer.get("Server"); !strings.HasPrefix(ua, "baresip") {
			t.Errorf("%s was answered by %q, want baresip", contacts[i], ua)
		}
		if at := user(answer.contact()); !strings.HasPrefix(at, "401-0x") {
			t.Errorf("%s was answered by %s, want a Contact of baresip's", contacts[i], at)
		}
		d.ack()
		d.request("INVITE")
		d.expect("200 INVITE")
		d.ack()
		d.request("BYE")
		d.expect("200 BYE")
	}
	p.stop()
	for i, b := range softphones {
		b.kill()
		if got := strings.Count(b.errors.String()+b.out.String(), "\nINVITE sip:"); got != 2 { // it traces
			t.Errorf("the phone of %s got %d INVITEs, want the two of its PBX", domain(i), got)
		}
	}
}
