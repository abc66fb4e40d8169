// The first instructions of every program; see the package comment and
// entry_linux_amd64.s, which this file follows step by step.

#include "go_asm.h"
#include "textflag.h"

#define SYS_prctl 167
#define SYS_exit_group 94
#define SYS_prlimit64 261
#define RLIMIT_DATA 2
#define RLIMIT_AS 9
#define NEED_AS 1610612736
#define NEED_DATA 83886080
#define PR_SET_TIMERSLACK 29
#define PR_GET_TIMERSLACK 30

#define LIMIT(r, o, need, done) \
	MOVD $0, R0 \
	MOVD $r, R1 \
	MOVD $0, R2 \
	MOVD $·Limits+o(SB), R3 \
	MOVD $SYS_prlimit64, R8 \
	SVC \
	MOVD $·Limits+o(SB), R9 \
	MOVD $need, R10 \
	MOVD 0(R9), R11 \
	MOVD 8(R9), R12 \
	CMP R10, R11 \
	BHS done \
	CMP R10, R12 \
	BLO toolow \
	SUB $16, RSP \
	MOVD R12, 0(RSP) \
	MOVD R12, 8(RSP) \
	MOVD $0, R0 \
	MOVD $r, R1 \
	MOVD RSP, R2 \
	MOVD $0, R3 \
	MOVD $SYS_prlimit64, R8 \
	SVC \
	ADD $16, RSP \
	MOVD $1, R11 \
	MOVD R11, 16(R9)

TEXT quail_entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	LIMIT(RLIMIT_AS, 0, NEED_AS, data)
data:
	LIMIT(RLIMIT_DATA, 24, NEED_DATA, timers)
timers:
	MOVD $PR_GET_TIMERSLACK, R0
	MOVD $SYS_prctl, R8
	SVC
	CMP $0, R0
	BLE start
	MOVD R0, ·slack(SB)
	MOVD $PR_SET_TIMERSLACK, R0
	MOVD $const_late, R1
	MOVD $SYS_prctl, R8
	SVC
start:
	B _rt0_arm64_linux(SB)
toolow:
	MOVD $111, R0
	MOVD $SYS_exit_group, R8
	SVC
	UNDEF
