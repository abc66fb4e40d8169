//go:build !arm64 && !loong64 && !riscv64

package utmp

// recordSize is that of processors whose C library has 32 bits for the time here.
const recordSize = 384
