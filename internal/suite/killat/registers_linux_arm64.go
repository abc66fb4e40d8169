package main

import "syscall"

// registers returns the system call that a stopped thread is about to make.
func registers(thread int) (number uint64, args [3]uint64, err error) {
	var r syscall.PtraceRegs
	err = syscall.PtraceGetRegs(thread, &r)
	return r.Regs[8], [3]uint64{r.Regs[0], r.Regs[1], r.Regs[2]}, err
}
