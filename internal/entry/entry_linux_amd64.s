// The first instructions of every program; see the package comment.
//
// Nothing of Go runs yet: no stack bound, no runtime, arguments where the kernel
// put them. Registers other than SP carry nothing that must be kept.

#include "go_asm.h"
#include "textflag.h"

#define SYS_prctl 157
#define SYS_exit_group 231
#define SYS_prlimit64 302
#define RLIMIT_DATA 2
#define RLIMIT_AS 9
#define PR_SET_TIMERSLACK 29
#define PR_GET_TIMERSLACK 30

// What the runtime needs before main: 1.5 GB of address space, nearly all of it
// reserved and never touched, and 80 MB of data.
#define NEED_AS 1610612736
#define NEED_DATA 83886080

// LIMIT reads limit r into Limits (24 bytes at offset o: soft, hard, raised), and
// if the soft one is below need raises it to the hard one. It leaves with 111
// where the hard one is below need too.
#define LIMIT(r, o, need, done) \
	XORL DI, DI \
	MOVL $r, SI \
	XORL DX, DX \
	LEAQ ·Limits+o(SB), R10 \
	MOVL $SYS_prlimit64, AX \
	SYSCALL \
	MOVQ $need, R8 \
	LEAQ ·Limits+o(SB), R9 \
	CMPQ 0(R9), R8 \
	JCC done \
	CMPQ 8(R9), R8 \
	JCS toolow \
	MOVQ 8(R9), AX \
	SUBQ $16, SP \
	MOVQ AX, 0(SP) \
	MOVQ AX, 8(SP) \
	XORL DI, DI \
	MOVL $r, SI \
	MOVQ SP, DX \
	XORL R10, R10 \
	MOVL $SYS_prlimit64, AX \
	SYSCALL \
	ADDQ $16, SP \
	MOVQ $1, 16(R9)

// The last variable of the environment, see Environment.
DATA oneProcessor<>+0(SB)/8, $"GOMAXPRO"
DATA oneProcessor<>+8(SB)/8, $"CS=01\x00\x00\x00"
GLOBL oneProcessor<>(SB), RODATA|NOPTR, $16

TEXT quail_entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	LIMIT(RLIMIT_AS, 0, NEED_AS, data)
data:
	LIMIT(RLIMIT_DATA, 24, NEED_DATA, timers)
timers:
	MOVL $PR_GET_TIMERSLACK, DI
	MOVL $SYS_prctl, AX
	SYSCALL
	CMPQ AX, $0
	JLE processors
	MOVQ AX, ·slack(SB)
	MOVL $PR_SET_TIMERSLACK, DI
	MOVL $const_late, SI
	MOVL $SYS_prctl, AX
	SYSCALL
processors:
	// What the kernel left at SP: argc; arguments and a NULL; environment and a NULL.
	// All of it moves down by one word, which makes room for one more variable.
	MOVQ SP, SI
	SUBQ $8, SP
	MOVQ SP, DI
	MOVQ 0(SI), AX
	MOVQ AX, 0(DI)
	MOVL $2, CX
word:
	ADDQ $8, SI
	ADDQ $8, DI
	MOVQ 0(SI), AX
	MOVQ AX, 0(DI)
	TESTQ AX, AX
	JNE word
	DECL CX
	JNE word
	LEAQ oneProcessor<>(SB), AX
	MOVQ AX, 0(DI)
	JMP _rt0_amd64_linux(SB)
toolow:
	MOVL $111, DI
	MOVL $SYS_exit_group, AX
	SYSCALL
	INT $3
