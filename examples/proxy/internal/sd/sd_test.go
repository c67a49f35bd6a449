package sd_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/examples/proxy/internal/sd"
)

// environment returns a function like [os.Getenv].
func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// TestNotify: the manager gets what it is told, one datagram each.
func TestNotify(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m, err := sd.NewManager(environment(map[string]string{"NOTIFY_SOCKET": name}))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for _, state := range []string{sd.Ready, sd.Alive, sd.Stopping} {
		if err := m.Notify(state); err != nil {
			t.Fatal(err)
		}
		n, err := l.Read(buf)
		if err != nil || string(buf[:n]) != state {
			t.Errorf("got %q, %v, want %q", buf[:n], err, state)
		}
	}
	l.Close()
	if err := m.Notify(sd.Ready); err == nil {
		t.Error("nobody listens, and that is no error")
	}
}

// TestManager_None: without a manager nothing is done.
func TestManager_None(t *testing.T) {
	m, err := sd.NewManager(environment(map[string]string{"WATCHDOG_USEC": "1000000"}))
	if m != nil || err != nil {
		t.Errorf("got %v, %v", m, err)
	}
	if err := m.Notify(sd.Ready); err != nil || m.Watchdog() != 0 {
		t.Errorf("got %v, %v", err, m.Watchdog())
	}
}

// TestManager_Watchdog: the time is for the process that it names.
func TestManager_Watchdog(t *testing.T) {
	own, other := strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getpid()+1)
	for _, tt := range []struct {
		socket, usec, pid string
		want              time.Duration
		fault             bool
	}{
		{"/run/notify", "", "", 0, false},
		{"/run/notify", "30000000", "", 30 * time.Second, false},
		{"@abstract", "30000000", own, 30 * time.Second, false},
		{"/run/notify", "30000000", other, 0, false},
		{"/run/notify", "soon", own, 0, true},
		{"/run/notify", "0", own, 0, true},
		{"/run/notify", "-1", own, 0, true},
		{"/run/notify", "9223372036854775807", own, 0, true},
		{"run/notify", "", "", 0, true},
		{"vsock:2:1", "", "", 0, true},
	} {
		m, err := sd.NewManager(environment(map[string]string{"NOTIFY_SOCKET": tt.socket, "WATCHDOG_USEC": tt.usec, "WATCHDOG_PID": tt.pid}))
		if (err != nil) != tt.fault || m.Watchdog() != tt.want {
			t.Errorf("%+v: got %v, %v", tt, m.Watchdog(), err)
		}
	}
}

// TestSockets_None: what is handed over to another process, or not at all, is left
// alone.
func TestSockets_None(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, tt := range []struct {
		pid, n string
		fault  bool
	}{
		{"", "", false},
		{"1", "1", false},
		{own, "0", false},
		{own, "", true},
		{own, "-1", true},
		{own, "many", true},
	} {
		s, err := sd.Sockets(environment(map[string]string{"LISTEN_PID": tt.pid, "LISTEN_FDS": tt.n}))
		if (err != nil) != tt.fault || len(s) > 0 {
			t.Errorf("%+v: got %v, %v", tt, s, err)
		}
	}
}

// childVar is set in a process that a test has started: [TestChild] is all that it
// runs.
const childVar = "SIPWARD_SD_TEST_CHILD"

// TestChild is the other side of TestSockets. It prints what it was handed over.
func TestChild(t *testing.T) {
	if os.Getenv(childVar) == "" {
		return
	}
	sockets, err := sd.Sockets(os.Getenv)
	for _, s := range sockets {
		fmt.Println(s.Packet != nil, s.Stream != nil, s.Addr)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err != nil {
		fmt.Println(err)
	}
	os.Exit(3) // so that nothing else is printed
}

// child returns what TestChild prints that gets files as systemd hands them over.
func child(t *testing.T, files ...*os.File) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run='^TestChild$'`, program)
	cmd.Env = append(os.Environ(), childVar+"=1", "LISTEN_FDS="+strconv.Itoa(len(files)))
	cmd.ExtraFiles = files
	out, err := cmd.Output()
	if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != 3 {
		t.Errorf("%v\n%s", err, out)
	}
	return string(out)
}

// file returns a copy of a socket as a file.
func file(t *testing.T, s interface {
	File() (*os.File, error)
	Close() error
}) *os.File {
	t.Helper()
	f, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return f
}

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// TestSockets: sockets come in the order they are given, with their addresses.
func TestSockets(t *testing.T) {
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("true false %v\nfalse true %v\n", udp.LocalAddr(), tcp.Addr())
	if diff := cmp.Diff(want, child(t, file(t, udp), file(t, tcp))); diff != "" {
		t.Error(diff)
	}
}

// TestSockets_Foreign: what the proxy has no use for is an error, and so is what is
// no socket.
func TestSockets_Foreign(t *testing.T) {
	name := filepath.Join(t.TempDir(), "socket")
	unix, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	got := child(t, file(t, unix), null)
	for _, want := range []string{"sd: socket 0: unixgram " + name + " is neither UDP nor TCP\n", "sd: socket 1: "} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q without %q", got, want)
		}
	}
}
