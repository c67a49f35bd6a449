package simnet_test

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/sipward/sipward/internal/simnet"
)

func TestHost_Down(t *testing.T) {
	onPair(t, simnet.Config{}, func(t *testing.T, p pair) {
		a, b := listenPacket(t, p.clientHost, sip), listenPacket(t, p.serverHost, sip)
		p.serverHost.Down()
		if err := readErr(p.server); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("read of a stream = %v, want ENETDOWN", err)
		}
		if err := second(b.WriteTo(nil, a.LocalAddr())); !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("sending = %v, want ENETDOWN", err)
		}
		send(t, a, at(proxyAddr, sip), "lost")
		synctest.Wait()
		p.serverHost.Up()
		send(t, a, at(proxyAddr, sip), "hello")
		expect(t, b, "hello")

		p.clientHost.BlackHole(true)
		send(t, a, at(proxyAddr, sip), "lost")
		send(t, b, at(otherAddr, sip), "lost")
		synctest.Wait()
		p.clientHost.BlackHole(false)
		expectNothing(t, a)
		expectNothing(t, b)
	})
}
