package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestLogProblems_Limit: a table full of nonsense does not fill the disk.
func TestLogProblems_Limit(t *testing.T) {
	var many []problem
	for i := range 10 * maxLogged {
		many = append(many, problem{Kind: problemRow, Text: fmt.Sprint("row ", i)})
	}
	var b bytes.Buffer
	logProblems(slog.New(slog.NewTextHandler(&b, nil)), nil, many)
	if n := strings.Count(b.String(), "\n"); n != maxLogged+1 || !strings.Contains(b.String(), fmt.Sprint("count=", 9*maxLogged)) {
		t.Errorf("%d lines\n%s", n, &b)
	}
}
