//go:build !linux

package peertest

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }

func killGroup(int) {}
