package main

import "syscall"

// registers returns the system call that a stopped thread is about to make.
func registers(thread int) (number uint64, args [3]uint64, err error) {
	var r syscall.PtraceRegs
	err = syscall.PtraceGetRegs(thread, &r)
	return r.Orig_rax, [3]uint64{r.Rdi, r.Rsi, r.Rdx}, err
}
