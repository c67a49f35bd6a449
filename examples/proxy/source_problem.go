package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
)

// problem is something about the tenants that is not as the operator will have
// meant it. It affects nobody but the tenants that it names.
type problem struct {
	Kind string `json:"kind"` // one of those below
	Text string `json:"text"`

	key string // tells one from another if the text differs each time
}

// The kinds of problems.
const (
	problemFile     = "file"     // it was to be read again and cannot be used, so that nothing of it changes
	problemDatabase = "database" // it cannot be read, so that nothing of it changes
	problemRow      = "row"      // a row of it makes no sense
	problemConflict = "conflict" // two places say different things
	problemName     = "name"     // a host name was not resolved
	problemSet      = "set"      // a set lacks domains or destinations, or a destination cannot be reached
	problemShared   = "shared"   // a PBX sends for several sets
)

// maxLogged is how many problems are logged at once, so that a table full of
// nonsense does not fill the disk.
const maxLogged = 50

func (p *problem) id() problem { return problem{p.Kind, cmp.Or(p.key, p.Text), ""} }

// logProblems logs what there is in now and was not before, and the reverse.
func logProblems(log *slog.Logger, before, now []problem) {
	logOnly(log, now, before, func(p *problem) (slog.Level, string) {
		if p.Kind == problemFile || p.Kind == problemDatabase {
			return slog.LevelError, "tenants: problem" // nobody but an operator can help
		}
		return slog.LevelWarn, "tenants: problem"
	})
	logOnly(log, before, now, func(*problem) (slog.Level, string) { return slog.LevelInfo, "tenants: problem is gone" })
}

// logOnly logs the problems in list and not in other.
func logOnly(log *slog.Logger, list, other []problem, how func(*problem) (slog.Level, string)) {
	known := make(map[problem]bool, len(other))
	for i := range other {
		known[other[i].id()] = true
	}
	list = slices.DeleteFunc(slices.Clone(list), func(p problem) bool { return known[p.id()] })
	for i := range list {
		if i == maxLogged {
			log.Warn("tenants: more problems than are logged", "count", len(list)-maxLogged)
			break
		}
		level, msg := how(&list[i])
		log.Log(context.Background(), level, msg, "kind", list[i].Kind, "what", list[i].Text)
	}
}

// sortProblems gives problems an order that does not depend on how they were
// found.
func sortProblems(list []problem) {
	slices.SortFunc(list, func(a, b problem) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Text, b.Text)) })
}
