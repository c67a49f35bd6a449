//go:build race

package peertest

// raceEnabled tells whether to build the proxy with the race detector, too.
const raceEnabled = true
