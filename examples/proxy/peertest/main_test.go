// Package peertest tests the proxy as a program, with other people's SIP
// stacks around it: it is built, started on a loopback address of its own, and
// talks to SIPp and baresip.
//
// A test reads from top to bottom. It starts a [site], which is a proxy with
// its tenants, and plays a [story]: a ladder of messages between a phone and a
// PBX. From one ladder two SIPp scenarios are made, one for each side, which
// check what arrives: that an answer is the peer's own and not the proxy's, and
// that what the proxy must not touch is as it was sent.
//
// What a story cannot tell is played by a [peer], a small SIP endpoint in Go
// that shares no code with the proxy: an [asterisk] that remembers its Contacts,
// a phone that outlives the proxy, and whoever must hear nothing at all.
//
// Tests of the database have a MariaDB for themselves, which they stop, kill and
// keep waiting. What is in it they see and change by SQL.
//
// Every test has addresses of its own and all of them run at the same time, but
// for the flood, which comes alone.
package peertest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// proxyPackage is the program under test.
const proxyPackage = "github.com/sipward/sipward/examples/proxy"

var (
	tempDir string // of the whole run
	octet   byte   // of this run: its addresses are 127.octet.*.*
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if runtime.GOOS != "linux" {
		fmt.Println("peertest: only Linux has all of 127.0.0.0/8; nothing tested")
		return 0
	}
	dir, err := os.MkdirTemp("", "peertest")
	if err != nil {
		fmt.Fprintln(os.Stderr, "peertest:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	release, err := reserveOctet()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peertest:", err)
		return 1
	}
	defer release()
	tempDir = dir
	return m.Run()
}

// reserveOctet finds a block of loopback addresses that no other run of these
// tests uses, and keeps it until release is called.
func reserveOctet() (release func(), err error) {
	for _, i := range rand.Perm(200) {
		octet = byte(50 + i)
		l, err := net.Listen("tcp", fmt.Sprintf("127.%d.255.254:5060", octet))
		if err == nil {
			return func() { l.Close() }, nil
		}
	}
	return nil, fmt.Errorf("no loopback addresses are free")
}

// build builds the proxy, once, and returns the file.
type build func() (string, error)

var (
	binary = building("proxy", raceEnabled)
	// released is what operators run. The race detector makes the proxy some ten
	// times slower, which is too slow for some tests.
	released = building("released", false)
)

func building(name string, race bool) build {
	return sync.OnceValues(func() (string, error) {
		file := filepath.Join(tempDir, name)
		args := []string{"build", "-o", file}
		if race {
			args = append(args, "-race")
		}
		out, err := exec.Command("go", append(args, proxyPackage)...).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
		return file, nil
	})
}

func proxyBinary(t *testing.T) string {
	t.Helper()
	return binary.file(t)
}

func (b build) file(t *testing.T) string {
	t.Helper()
	file, err := b()
	if err != nil {
		t.Fatal(err)
	}
	return file
}
