package main

import (
	"context"
	"errors"
	"time"

	"github.com/sipward/sipward/acct/mysqlacct"
)

// mirrorInterval is how old the table dialog may be, as with an OpenSIPS that
// writes it with delay.
const mirrorInterval = 10 * time.Second

// mirror keeps the table dialog like the open calls of j until ctx is done. While
// there is no such table it does nothing.
func (c *calls) mirror(ctx context.Context, j *callJournal) {
	ticker := time.NewTicker(mirrorInterval)
	defer ticker.Stop()
	var m *mysqlacct.Mirror
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var err error
		if m == nil {
			m, err = mysqlacct.NewMirror(ctx, c.cfg.Dialogs, mysqlacct.MirrorConfig{Node: j.node})
		}
		if err == nil {
			err = m.Sync(ctx, j.Calls())
		}
		switch {
		case err == nil:
			told = ""
		case ctx.Err() != nil || err.Error() == told:
		case errors.Is(err, mysqlacct.ErrSchema):
			told = err.Error()
			c.cfg.Log.Info("open calls are not in the table dialog", "err", err)
		default:
			told = err.Error()
			c.cfg.Log.Warn("open calls are not in the table dialog", "err", err)
		}
	}
}
