package mysqltest

import (
	"runtime"
	"syscall"
)

// dieWithParent makes the kernel kill a process when the thread that started
// it ends: no test that is killed leaves a server behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// lockThread keeps the calling goroutine's thread for as long as the process
// that it starts.
func lockThread() (unlock func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
