module quail

go 1.26.0

godebug (
	containermaxprocs=0
	updatemaxprocs=0
)

require (
	github.com/landlock-lsm/go-landlock v0.11.0
	github.com/miekg/dns v1.1.73
	github.com/spf13/pflag v1.0.10
	golang.org/x/sys v0.49.0
	kernel.org/pub/linux/libs/security/libcap/psx v1.2.77
)

require golang.org/x/net v0.57.0 // indirect
