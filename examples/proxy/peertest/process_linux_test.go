package peertest

import "syscall"

// attributes puts a program into a process group of its own, so that all it
// has started can be ended, and ends it should these tests be killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killGroup ends a program and all that it has started.
func killGroup(pid int) { syscall.Kill(-pid, syscall.SIGKILL) }
