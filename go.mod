module quail

go 1.26.0

godebug (
	containermaxprocs=0
	fips140=off
	updatemaxprocs=0
)

require (
	github.com/go-crypt/crypt v0.14.15
	github.com/jsimonetti/rtnetlink/v2 v2.0.2
	github.com/landlock-lsm/go-landlock v0.11.0
	github.com/mdlayher/netlink v1.7.2
	github.com/miekg/dns v1.1.73
	github.com/spf13/pflag v1.0.10
	golang.org/x/sys v0.49.0
	kernel.org/pub/linux/libs/security/libcap/psx v1.2.77
)

require (
	github.com/go-crypt/x v0.4.16 // indirect
	github.com/google/go-cmp v0.6.0 // indirect
	github.com/josharian/native v1.1.0 // indirect
	github.com/mdlayher/socket v0.4.1 // indirect
	golang.org/x/net v0.57.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
)
