module quail

go 1.26.0

godebug (
	containermaxprocs=0
	updatemaxprocs=0
)

require (
	github.com/landlock-lsm/go-landlock v0.11.0 // indirect
	github.com/miekg/dns v1.1.73 // indirect
	github.com/spf13/pflag v1.0.10 // indirect
	golang.org/x/net v0.57.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	pgregory.net/rapid v1.3.0 // indirect
)
