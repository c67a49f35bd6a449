//go:build !linux

package mysqltest

import "syscall"

// dieWithParent is for Linux only: elsewhere, a killed test leaves its server.
func dieWithParent() *syscall.SysProcAttr { return nil }

func lockThread() (unlock func()) { return func() {} }
