package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/location"
)

// listen returns a UDP socket that gives up after a while.
func listen(t *testing.T, ip string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// receive returns the next SIP message.
func receive(conn *net.UDPConn) (sip.Message, *net.UDPAddr, error) {
	buf := make([]byte, 4000)
	n, from, err := conn.ReadFromUDP(buf)
	if err != nil {
		return nil, nil, err
	}
	msg, err := sip.ParseMessage(buf[:n])
	return msg, from, err
}

// servePBX answers REGISTERs as Asterisk does: a challenge for those without
// credentials, 59 of 60 seconds for those with some, no contact for those that
// leave.
func servePBX(t *testing.T, conn *net.UDPConn, proxy string) {
	for {
		msg, from, err := receive(conn)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		if from.String() != proxy {
			t.Errorf("REGISTER comes from %v, not from the listener %s", from, proxy)
		}
		req := msg.(*sip.Request)
		res := sip.NewResponseFromRequest(req, 401, "Unauthorized", nil)
		if req.GetHeader("Authorization") != nil {
			res = sip.NewResponseFromRequest(req, 200, "OK", nil)
			contact := req.GetHeader("Contact").Value()
			if kept := strings.Replace(contact, "expires=60", "expires=59", 1); kept != contact {
				res.AppendHeader(sip.NewHeader("Contact", kept))
			}
		}
		if _, err := conn.WriteToUDP([]byte(res.String()), from); err != nil {
			t.Error(err)
			return
		}
	}
}

// start runs the server, a PBX and a phone that is connected to the server.
func start(t *testing.T) (phone *net.UDPConn, store *location.Memory) {
	t.Helper()
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // runs when the sockets are closed
	store = location.NewMemory(location.MemoryConfig{})
	server, pbx := listen(t, "127.0.7.1"), listen(t, "127.0.7.10")
	wg.Go(func() {
		if err := serve(server, pbx.LocalAddr().String(), store); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() { servePBX(t, pbx, server.LocalAddr().String()) })
	phone, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 7, 20)}, server.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { phone.Close() })
	if err := phone.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return phone, store
}

// register sends a REGISTER with that CSeq and returns the answer. The Via is
// that of a phone behind NAT that does not know of it.
func register(t *testing.T, phone *net.UDPConn, cseq int, lines ...string) *sip.Response {
	t.Helper()
	text := strings.Join(append([]string{
		"REGISTER sip:tenant-a.test SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/UDP 192.168.0.66:2048;branch=z9hG4bK%d", cseq),
		"Max-Forwards: 70",
		"From: <sip:401@tenant-a.test>;tag=1",
		"To: <sip:401@tenant-a.test>",
		"Call-ID: a",
		fmt.Sprintf("CSeq: %d REGISTER", cseq),
	}, append(lines, "Content-Length: 0", "", "")...), "\r\n")
	if _, err := phone.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	msg, _, err := receive(phone)
	if err != nil {
		t.Fatal(err)
	}
	return msg.(*sip.Response)
}

func TestRegister(t *testing.T) {
	const authorization = `Authorization: Digest username="401"`
	phone, store := start(t)
	aor, err := location.MakeAOR("401", "tenant-a.test")
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name   string
		lines  []string
		code   int
		stored int
	}{
		{"challenged", []string{"Contact: <sip:401@192.168.0.66:2048>;expires=60"}, 401, 0},
		{"accepted", []string{"Contact: <sip:401@192.168.0.66:2048>;expires=60", authorization}, 200, 1},
		{"refresh challenged", []string{"Contact: <sip:401@192.168.0.66:2048>;expires=60"}, 401, 1},
		{"left", []string{"Contact: <sip:401@192.168.0.66:2048>;expires=0", authorization}, 200, 0},
	}
	for i, step := range steps {
		res := register(t, phone, i+1, step.lines...)
		if res.StatusCode != step.code {
			t.Fatalf("%s: got %d, want %d", step.name, res.StatusCode, step.code)
		}
		if vias := res.GetHeaders("Via"); len(vias) != 1 {
			t.Errorf("%s: the answer has %d Vias", step.name, len(vias))
		}
		bindings, err := store.Lookup(context.Background(), aor)
		if err != nil {
			t.Fatal(err)
		}
		if len(bindings) != step.stored {
			t.Fatalf("%s: %d bindings, want %d", step.name, len(bindings), step.stored)
		}
		for _, b := range bindings {
			life := b.Expires.Sub(b.Updated).Seconds()
			if b.Contact != "sip:401@192.168.0.66:2048" || b.Flow.Remote.String() != phone.LocalAddr().String() || life != 59 {
				t.Errorf("%s: stored %+v", step.name, b)
			}
		}
	}
}

// TestDependencies keeps what needs a database or a metrics library out of
// programs that do not use one.
func TestDependencies(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		if dep == "database/sql" || strings.Contains(dep, "mysql") || strings.Contains(dep, "prometheus") || strings.Contains(dep, "yaml") {
			t.Errorf("depends on %s", dep)
		}
	}
}
