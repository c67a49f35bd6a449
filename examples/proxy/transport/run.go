package transport

import (
	"context"
	"time"
)

// Run serves until ctx ends, and returns nil then. It returns an error if the
// socket of a listener is closed by someone else: the proxy would be deaf. It
// owns every goroutine of the layer, waits for all of them, and leaves all
// sockets closed, in the order of the package comment. It can be called once.
func (l *Layer) Run(ctx context.Context) error {
	ctx, cancel, err := l.launcher.begin(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	<-ctx.Done()
	l.launcher.end()
	l.mu.Lock() // nobody is between launching a listener and noting it
	ports, doors := *l.ports.Load(), *l.doors.Load()
	l.mu.Unlock()

	for _, d := range doors {
		d.listener.Close()
	}
	for _, p := range ports {
		p.interrupt()
	}
	for _, s := range l.table.all() {
		s.shut(ErrClosed, true)
	}
	err = l.launcher.wait()
	for _, p := range ports {
		p.shut()
	}
	return err
}

// past is a deadline that wakes who waits.
var past = time.Unix(1, 0)
