//go:build linux && (arm64 || loong64 || riscv64)

package utmp

// recordSize is that of processors that never had less than 64 bits for the time.
const recordSize = 400
