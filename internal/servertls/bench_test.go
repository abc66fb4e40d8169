package servertls

import (
	"crypto/tls"
	"io"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"quail/internal/ucspi"
)

// BenchmarkHandshake measures handshakes with the keys in qmail-keysd beside those with
// them in the process, the client included: how long one takes, and what both processes
// spend on it, which counts where there is no processor to spare.
func BenchmarkHandshake(b *testing.B) {
	for _, who := range []string{"rsa", "ec"} {
		client := &tls.Config{InsecureSkipVerify: true, ServerName: who + ".test"}
		measure := func(b *testing.B, handshake func(*ucspi.Conn) error, end func()) {
			identities()
			began := spent(b)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					conn, raw := connection(b, long)
					go tls.Client(raw, client).Handshake()
					if err := handshake(conn); err != nil {
						b.Error(err)
					}
					conn.Close()
					raw.Close()
				}
			})
			end()
			b.ReportMetric(float64(spent(b)-began)/float64(b.N), "cpu-ns/op")
		}
		b.Run(who+"/process", func(b *testing.B) {
			server := &tls.Config{Certificates: []tls.Certificate{identities()[who].tls}, MinVersion: tls.VersionTLS12}
			measure(b, func(conn *ucspi.Conn) error {
				return tls.Server(&wire{conn: conn, reads: long, writes: long}, server).Handshake()
			}, func() {})
		})
		b.Run(who+"/keys", func(b *testing.B) {
			d := start(b, who)
			k := d.keys()
			measure(b, func(conn *ucspi.Conn) error { _, err := k.Handshake(conn, ""); return err }, d.stop)
		})
	}
}

// spent returns the processor time of this process and of those that it has run.
func spent(b *testing.B) (total int64) {
	b.Helper()
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var used unix.Rusage
		if err := unix.Getrusage(who, &used); err != nil {
			b.Fatal(err)
		}
		total += used.Utime.Nano() + used.Stime.Nano()
	}
	return total
}

// BenchmarkIdle measures what a session costs that waits after it has read a command.
func BenchmarkIdle(b *testing.B) {
	k := start(b, "ec").keys()
	for b.Loop() {
		const n = 500
		var sessions [n]*Conn
		var before, after runtime.MemStats
		var raws [n]io.Closer
		measure := func(m *runtime.MemStats) {
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(m)
		}
		measure(&before)
		for i := range sessions {
			// The client forgets what it knows, so that only the server's half is measured.
			c, client, err := meet(b, k, "", &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				b.Fatal(err)
			}
			client.Write([]byte("EHLO client.test\r\n"))
			c.Read(make([]byte, 100))
			sessions[i], raws[i] = c, client.NetConn()
		}
		measure(&after)
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/n, "bytes/session")
		for i := range sessions {
			sessions[i].Close()
			raws[i].Close()
		}
	}
}
