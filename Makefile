# Quail. `make` alone says what can be made. GNU make.
#
# Settings, given as in `make build QMAIL=/opt/qmail`, to build, run and install
# alike, since the programs have them linked in:
#
#   QMAIL     the home directory
#   SPLIT     subdirectories of mess, info, local and remote in the queue
#   ACCOUNTS  qmail: the suite's own users and groups, made by install;
#             own: whoever builds is all of them, which needs no root
#   PROFILE   a directory, for developers: every program leaves profiles there
#             (go tool pprof) when it ends; all users must be able to write to it

QMAIL    = /var/qmail
SPLIT    = 23
ACCOUNTS = $(if $(and $(filter-out 0,$(UID)),$(filter-out /var/qmail,$(QMAIL))),own,qmail)
PROFILE  =
DESTDIR  =
PORT     = 2525
FUZZTIME = 10s
TIME     = 1h
BENCH    =
BIN      = bin

GO      = go
UID    := $(shell id -u)
PLATFORM = $(shell $(GO) env GOOS GOARCH)
BENCHSTAT = golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
CROSS    = linux/arm64 solaris/amd64 illumos/amd64 freebsd/amd64

# make run has a home of its own, unless one is named.
RUNHOME = $(if $(filter command,$(origin QMAIL)),$(QMAIL),/var/tmp/quail$(addprefix -,$(filter-out 0,$(UID))))

# What internal/conf has linked in. The mark lets scripts/install see it too.
CONF = -X quail/internal/conf.$(1)
ALIAS = $(if $(filter own,$(ACCOUNTS)),$(shell id -un),alias)
LINK  = $(call CONF,home=$(QMAIL)) $(call CONF,split=$(SPLIT)) \
	$(call CONF,mark=quail-linked-for:$(QMAIL):$(SPLIT):$(ALIAS):) $(call CONF,build=$(BUILD))
ifeq ($(ACCOUNTS),own)
LINK += $(foreach who,Alias Daemon Log Passwd Queue Remote Send,$(call CONF,user$(who)=$(shell id -un))) \
	$(foreach which,Qmail Nofiles,$(call CONF,group$(which)=$(shell id -gn)))
endif

ifneq ($(PROFILE),)
TAGS  = -tags profile
LINK += -X quail/internal/prog.profiles=$(PROFILE)
endif

# Programs that can be kept warm: their files end with the mark of internal/warm.
WARM = qmail-getpw qmail-local qmail-remote qmail-smtpd rblsmtpd relay-ctrl-check

# Programs that others of the same sources need not execute: see conf.Mark.
BUILT = qmail-inject
BUILD := $(shell cat `find cmd internal -name '*.go' ! -name '*_test.go' | LC_ALL=C sort` go.mod | cksum | sed 's/ .*//')

# A mark is the last line of a file. The compiler leaves a file alone that is up to date.
MARK = test "`tail -n 1 $(BIN)/$(1) | tr -dc '[:print:]'`" = $(2) || printf '\n%s\n' $(2) >>$(BIN)/$(1);

# The entry point of internal/entry, where it has one.
ENTRY = $(if $(filter linux,$(PLATFORM)),$(if $(filter amd64 arm64,$(PLATFORM)),-E quail_entry))

# Newer versions of Go's cryptographic module have 32 MB of zeroed memory for a source of
# random numbers that is used in FIPS mode alone. It counts when a program is loaded, and
# memory limits of run scripts (softlimit -m 20000000) would have the kernel refuse it.
CRYPTO = GOFIPS140=v1.0.0

help: ## this list
	@echo 'make TARGET [QMAIL=$(QMAIL)], where TARGET is one of'
	@sed -n 's/^\([a-z]*\):.*## /  \1	/p' Makefile

build: ## compile all programs into bin/, for the home QMAIL
	@case '$(QMAIL)' in (*[!A-Za-z0-9/._-]*|*/|[!/]*) echo 'QMAIL must be an absolute path without odd characters'; false; esac
	@echo 'compiling into $(BIN)/ for $(QMAIL)'
	@CGO_ENABLED=0 $(CRYPTO) $(GO) build -trimpath -buildvcs=false $(TAGS) -ldflags '-s -w $(ENTRY) $(LINK)' -o $(BIN)/ ./cmd/...
	@$(foreach p,$(WARM),$(call MARK,$p,quail-warm-1)) $(foreach p,$(BUILT),$(call MARK,$p,quail-build-$(BUILD):$p)) :

install: ## put what was built into QMAIL, with users, tree and boot scripts (DESTDIR= for packagers)
	@if test ! -x $(BIN)/qmail-queue; then $(MAKE) build; fi
	@if test -n "`find cmd internal scripts/files \( -name '*.go' -o -name files \) -newer $(BIN)/qmail-queue | sed 1q`"; then \
		echo '$(BIN)/ is older than the sources: make build QMAIL=$(QMAIL) first'; false; fi
	@sh scripts/install -b $(BIN) $(if $(DESTDIR),-d '$(DESTDIR)') '$(QMAIL)'

run: ## set up a home of its own, start everything on 127.0.0.1:PORT, send two messages, until Ctrl-C
	@$(MAKE) --no-print-directory build QMAIL=$(RUNHOME) BIN=bin/run
	@$(GO) build -o bin/run/ ./scripts/demo
	@exec bin/run/demo --home $(RUNHOME) --bin bin/run --port $(PORT)

test: ## everything that can be checked on this machine; root fetches what the tests need
	@GO='$(GO)' MAKE='$(MAKE)' sh scripts/test

fmt: ## format the sources
	gofmt -l -w cmd internal scripts

vet: ## let the compiler's companion look for mistakes
	$(GO) vet ./...

fuzz: ## give every parser FUZZTIME=10s of foreign bytes
	@GO='$(GO)' sh scripts/fuzz $(FUZZTIME)

bench: ## measure beside other mail servers, as root, into BENCH.md (BENCH='--only PATTERN' and other options)
	@$(GO) build -o bin/run/ ./scripts/bench
	@exec bin/run/bench $(BENCH)

benchstat: ## measure the hot paths and compare them with testdata/bench/baseline.txt
	@mkdir -p bin
	@TMPDIR=$(firstword $(wildcard /dev/shm /tmp)) $(GO) test -run '^$$' -bench . -benchtime 0.2s -count 6 \
		`grep -rl '^func Benchmark' internal | sed 's|/[^/]*$$||; s|^|./|' | sort -u` >bin/benchmarks.txt || { cat bin/benchmarks.txt; false; }
	@$(GO) run $(BENCHSTAT) testdata/bench/baseline.txt bin/benchmarks.txt
	@echo 'cp bin/benchmarks.txt testdata/bench/baseline.txt makes this the new baseline'

soak: ## run a suite under load for TIME=1h and see whether anything grows
	@CGO_ENABLED=0 $(GO) test -timeout 0 -v -run 'TestSoak$$' ./internal/suite -args -soak $(TIME)

cross: ## build and vet for the other platforms
	@for p in $(CROSS); do echo "$$p"; \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) build ./... && \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) vet ./... || exit 1; done

.PHONY: help build install run test fmt vet fuzz bench benchstat soak cross
