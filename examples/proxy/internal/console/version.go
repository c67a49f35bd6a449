package console

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
)

// Version returns the command that tells which version of the program this is.
func Version() Command {
	return operation{name: "version", synopsis: "print the version", noConfig: true, setup: plain((*session).version)}.command()
}

// version is what the command prints.
type version struct {
	Version string `json:"version"`
}

func (s *session) version(context.Context) error {
	v := version{"unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Version = info.Main.Version
	}
	return s.out.print(v, func(w io.Writer) { fmt.Fprintln(w, "sipward", v.Version) })
}
