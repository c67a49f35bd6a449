package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	osexec "os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/sd"
)

// childVar names the configuration of a proxy that a test has started as a process
// of its own: [TestChild] is all that it runs.
const childVar = "SIPWARD_TEST_CHILD"

// TestChild is the process of the tests here.
func TestChild(t *testing.T) {
	file := os.Getenv(childVar)
	if file == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // as main does
	if code := run(ctx, []string{"serve", "-config", file}, os.Stdout, os.Stderr); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

// manager plays systemd.
type manager struct {
	*testing.T
	notify   *net.UnixConn
	udp, tcp *os.File // sockets that it opened
	at       netip.AddrPort
	cmd      *osexec.Cmd
	out      *os.File // of the proxy
}

// newManager returns one that has opened UDP and TCP on the same port.
func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{T: t}
	var err error
	m.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.notify.Close() })
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	m.at = udp.LocalAddr().(*net.UDPAddr).AddrPort()
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(m.at))
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	for file, socket := range map[**os.File]interface{ File() (*os.File, error) }{&m.udp: udp, &m.tcp: tcp} {
		if *file, err = socket.File(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*file).Close() })
	}
	return m
}

// start starts a proxy that has the sockets.
func (m *manager) start(yaml string) {
	m.Helper()
	yaml = fmt.Sprintf("listen: [%q, %q]\nadmin: \"\"\nsecret: sixteen characters\nacct: {to: off}\n%s", "udp:"+m.at.String(), "tcp:"+m.at.String(), yaml)
	file := filepath.Join(m.TempDir(), "proxy.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		m.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		m.Fatal(err)
	}
	m.cmd = osexec.CommandContext(m.Context(), "sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run='^TestChild$'`, program)
	m.cmd.Env = append(os.Environ(), childVar+"="+file, "LISTEN_FDS=2", "WATCHDOG_USEC=200000",
		"NOTIFY_SOCKET="+m.notify.LocalAddr().String())
	m.cmd.ExtraFiles = []*os.File{m.tcp, m.udp} // in whatever order
	if m.out, err = os.Create(filepath.Join(m.TempDir(), "out")); err != nil {
		m.Fatal(err)
	}
	defer m.out.Close() // the proxy has its own
	m.cmd.Stdout, m.cmd.Stderr = m.out, m.out
	if err := m.cmd.Start(); err != nil {
		m.Fatal(err)
	}
}

// said returns what the proxy has written so far.
func (m *manager) said() string {
	m.Helper()
	text, err := os.ReadFile(m.out.Name())
	if err != nil {
		m.Error(err)
	}
	return string(text)
}

// told waits until the proxy tells state. In between it may be alive.
func (m *manager) told(state string) {
	m.Helper()
	buf := make([]byte, 100)
	for {
		m.notify.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := m.notify.Read(buf)
		if err != nil {
			m.Fatalf("%v instead of %s\n%s", err, state, m.said())
		}
		switch got := string(buf[:n]); got {
		case state:
			return
		case sd.Alive:
		default:
			m.Fatalf("%s instead of %s", got, state)
		}
	}
}

func (m *manager) signal(s os.Signal) {
	m.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.Fatal(err)
	}
}

// TestSystemd: a proxy serves the sockets that it is handed, says that it is ready,
// alive and ending, and what comes between two of them is not lost.
func TestSystemd(t *testing.T) {
	m := newManager(t)
	x, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(m.at))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	for life := range 2 {
		m.start("")
		for _, state := range []string{sd.Ready, sd.Alive, sd.Alive} {
			m.told(state)
		}
		for _, network := range []string{"udp", "tcp"} {
			if err := ask(t.Context(), network, m.at, time.Minute); err != nil {
				t.Errorf("%s: %v\n%s", network, err, m.said())
			}
		}
		if life > 0 { // the question of the life before
			x.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := x.Read(make([]byte, 1)); err != nil {
				t.Errorf("what came in between is lost: %v", err)
			}
		}
		m.signal(syscall.SIGTERM)
		m.told(sd.Stopping)
		if err := m.cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, m.said())
		}
		if _, err := x.Write([]byte(question("udp"))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSystemd_NotReady: without the tenants that are in a database a proxy serves
// those of its file, and is not ready.
func TestSystemd_NotReady(t *testing.T) {
	m := newManager(t)
	m.start("database: \"root@tcp(127.0.0.1:1)/opensips\"\nstore: memory\n")
	if err := ask(t.Context(), "udp", m.at, time.Minute); err != nil {
		t.Errorf("%v\n%s", err, m.said())
	}
	m.signal(syscall.SIGTERM)
	m.told(sd.Stopping)
	if err := m.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, m.said())
	}
}

// TestSystemd_SecondSignal: who does not want to wait for a call that rings need
// not.
func TestSystemd_SecondSignal(t *testing.T) {
	m := newManager(t)
	pbx, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
	if err != nil {
		t.Fatal(err)
	}
	defer pbx.Close()
	m.start(fmt.Sprintf("drain: 1h\ntenants: [{setid: 10, domains: [a.test], destinations: [{uri: \"sip:%v\"}]}]\ndispatcher: {probe: never}\n", pbx.LocalAddr()))
	m.told(sd.Ready)
	phone, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(m.at))
	if err != nil {
		t.Fatal(err)
	}
	defer phone.Close()
	invite := strings.NewReplacer("OPTIONS", "INVITE", "Max-Forwards: 0", "Max-Forwards: 70", "watchdog.invalid", "a.test").Replace(question("udp"))
	if _, err := phone.Write([]byte(invite)); err != nil {
		t.Fatal(err)
	}
	pbx.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := pbx.Read(make([]byte, 1)); err != nil {
		t.Fatalf("%v\n%s", err, m.said())
	}
	m.signal(syscall.SIGTERM)
	m.told(sd.Stopping)
	m.told(sd.Alive) // it drains
	m.signal(syscall.SIGTERM)
	err = m.cmd.Wait()
	var exit *osexec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("%v\n%s", err, m.said())
	}
}

// TestSystemd_Sockets: each socket is for the listener of its kind and address, and
// one that there is no listener for is a fault.
func TestSystemd_Sockets(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, tcp := netip.MustParseAddrPort(pc.LocalAddr().String()), netip.MustParseAddrPort(l.Addr().String())
	p := newTestProxy(t, fmt.Sprintf("listen: [\"ws:%v\", \"udp:127.0.0.1:0\"]\n", tcp))
	p.sockets = []sd.Socket{{Packet: pc, Addr: udp}, {Stream: l, Addr: tcp}}
	err = p.listen(t.Context())
	if want := fmt.Sprintf("listen: nothing is configured for the socket %v that was handed over", udp); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if diff := cmp.Diff([]string{tcp.String()}, stringsOf(p.transport.Addrs("ws"))); diff != "" {
		t.Error(diff)
	}
	if got := p.transport.Addrs("udp"); len(got) != 1 || got[0] == udp {
		t.Errorf("udp is served at %v", got)
	}
	pc.Close()
	closeListeners(t, p)
}

// TestSystemd_NoAnswer: a proxy that does not run does not say that it is alive.
func TestSystemd_NoAnswer(t *testing.T) {
	p := newTestProxy(t, `listen: ["udp:127.0.0.1:0"]`)
	if err := p.listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.answers(t.Context(), time.Millisecond); err == nil {
		t.Error("it answers")
	}
	closeListeners(t, p)
}

// lossy is a socket that loses the first datagram.
type lossy struct {
	net.PacketConn
	lost bool
}

func (l *lossy) ReadFrom(b []byte) (int, net.Addr, error) {
	if n, from, err := l.PacketConn.ReadFrom(b); l.lost || err != nil {
		return n, from, err
	}
	l.lost = true
	return l.PacketConn.ReadFrom(b)
}

// TestSystemd_Loss: a datagram that is lost is no sign that the proxy does not run.
// The sockets are real, and so is the half second until it is sent again.
func TestSystemd_Loss(t *testing.T) {
	p := newTestProxy(t, "")
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{PacketConn: pc}
	if err := p.transport.ServePacket(l); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.serve(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := p.answers(ctx, time.Minute); err != nil {
		t.Error(err)
	}
	cancel()
	running.Wait()
	if s := p.relay.Stats(); !l.lost || s.Replied != 1 {
		t.Errorf("lost %v, %+v", l.lost, s)
	}
}

// TestSystemd_AskEnds: whoever asks need not wait for the answer.
func TestSystemd_AskEnds(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		pc.ReadFrom(make([]byte, 1)) // it has been asked
		cancel()
	}()
	began := time.Now()
	err = ask(ctx, "udp", netip.MustParseAddrPort(pc.LocalAddr().String()), time.Hour)
	if took := time.Since(began); err == nil || took > time.Minute {
		t.Errorf("%v after %v", err, took)
	}
}

// TestSystemd_FailedRound: a round that fails leaves time for another one before
// systemd takes the proxy for dead.
func TestSystemd_FailedRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 30 * time.Second
		p := &Proxy{log: slog.New(slog.DiscardHandler)}
		rounds := 0
		answers := func(ctx context.Context, timeout time.Duration) error {
			if rounds++; rounds%2 == 0 {
				sleep(ctx, timeout)
				return errors.New("no answer")
			}
			sleep(ctx, timeout-time.Millisecond)
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*limit)
		defer cancel()
		told, last := 0, time.Now()
		p.heartbeat(ctx, limit, answers, func() {
			if gap := time.Since(last); gap >= limit {
				t.Errorf("nothing is told for %v", gap)
			}
			last = time.Now()
			told++
		})
		if told < 10 || rounds < 20 {
			t.Errorf("told %d times in %d rounds", told, rounds)
		}
	})
}

// newTestProxy returns one on real sockets, none of which is open.
func newTestProxy(t *testing.T, yaml string) *Proxy {
	t.Helper()
	p, err := newProxy(t.Context(), parseConfig(t, yaml), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// closeListeners closes the sockets of a proxy that does not run.
func closeListeners(t *testing.T, p *Proxy) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.transport.Run(ctx); err != nil {
		t.Error(err)
	}
}

func stringsOf(addrs []netip.AddrPort) (list []string) {
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return list
}
