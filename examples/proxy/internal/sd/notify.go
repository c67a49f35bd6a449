// Package sd speaks with systemd, or whatever else has started the process and
// does what sd_notify(3) and sd_listen_fds(3) describe. Without one it does
// nothing.
package sd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// What a service says of itself; see [Manager.Notify].
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Alive    = "WATCHDOG=1"
)

// notifyTimeout bounds how long a manager that is busy is waited for.
const notifyTimeout = time.Second

// Manager is who has started the process and wants to hear how it does. A nil
// *Manager wants nothing. It is safe for concurrent use.
type Manager struct {
	addr     *net.UnixAddr
	watchdog time.Duration
}

// NewManager returns the one that the environment names, nil if it names none.
// The environment is read by env, which is normally [os.Getenv].
func NewManager(env func(string) string) (*Manager, error) {
	name := env("NOTIFY_SOCKET")
	if name == "" {
		return nil, nil
	}
	if !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "@") { // @ is for Linux's abstract names
		return nil, fmt.Errorf("sd: NOTIFY_SOCKET %q is no path", name)
	}
	m := &Manager{addr: &net.UnixAddr{Name: name, Net: "unixgram"}}
	usec := env("WATCHDOG_USEC")
	if pid := env("WATCHDOG_PID"); usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return m, nil
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if m.watchdog = time.Duration(n) * time.Microsecond; err != nil || m.watchdog <= 0 || m.watchdog/time.Microsecond != time.Duration(n) {
		return nil, fmt.Errorf("sd: WATCHDOG_USEC %q is no number of microseconds", usec)
	}
	return m, nil
}

// Notify tells the manager a state.
func (m *Manager) Notify(state string) error {
	if m == nil {
		return nil
	}
	c, err := net.DialUnix(m.addr.Net, nil, m.addr)
	if err != nil {
		return fmt.Errorf("sd: %w", err)
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(notifyTimeout)); err != nil {
		return fmt.Errorf("sd: %w", err)
	}
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("sd: %w", err)
	}
	return nil
}

// Watchdog returns for how long the manager, once told [Ready], waits for the next
// [Alive] before it takes the process for dead; 0: it does not.
func (m *Manager) Watchdog() time.Duration {
	if m == nil {
		return 0
	}
	return m.watchdog
}
