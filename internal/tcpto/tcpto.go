// Package tcpto is the memory that deliveries share about hosts that do not
// answer: the file queue/lock/tcpto, 64 records of 16 bytes. See spec "The
// queue", section 15.
//
//	0   4  IPv4 address
//	4   1  number of recent timeouts, at most 10; 0 marks a free record
//	5   3  kept as found
//	8   4  time of the last timeout counted, seconds, little-endian
//	12  4  kept as found
//
// The file is advice, never a reason to fail: a file that is missing, short,
// locked by nobody knows whom or full of nonsense means "no information". It is
// read under an exclusive flock, and what is written is one record.
//
// Differs from qmail: addresses may be IPv6, of which the file then knows nothing.
package tcpto

import (
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	slots    = 64
	slotSize = 16
	fileSize = slots * slotSize

	maxCount = 10
	// skipFrom is how many timeouts make a host one to be left alone for a while.
	skipFrom = 2
	// settle is how long after a timeout another one says nothing new: it belongs
	// to a connection tried at the same time.
	settle = 120
)

// File is the path of a tcpto file.
type File string

// In returns the file of a qmail home.
func In(home string) File { return File(filepath.Join(home, "queue/lock/tcpto")) }

// Entry is a host with recent timeouts.
type Entry struct {
	Addr  netip.Addr
	Count int       // 1 and up
	Last  time.Time // of the last timeout counted
}

// Spared tells until when deliveries leave the host alone, and whether they do at all.
// The end varies with the process: some come back at first, all after last.
func (e Entry) Spared() (first, last time.Time, ok bool) {
	return e.Last.Add(wait(0)), e.Last.Add(wait(31)), e.Count >= skipFrom
}

// wait is how long after the last timeout the process pid leaves a host alone, so
// that not everybody comes back at once.
func wait(pid int) time.Duration { return time.Duration(60+pid&31) << 6 * time.Second }

// Error is why the file could not be listed or wiped.
type Error struct {
	Doing string // open, lock, read or clear
	Err   error
}

func (e *Error) Error() string { return e.Doing + " tcpto: " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// slot is one record as it stands in the file.
type slot []byte

func (s slot) addr() netip.Addr  { return netip.AddrFrom4([4]byte(s[:4])) }
func (s slot) count() int        { return int(s[4]) }
func (s slot) last() int64       { return int64(binary.LittleEndian.Uint32(s[8:])) }
func (s slot) setCount(n int)    { s[4] = byte(n) }
func (s slot) setLast(t int64)   { binary.LittleEndian.PutUint32(s[8:], uint32(t)) }
func (s slot) setAddr(a [4]byte) { copy(s, a[:]) }

// table is a locked file and what was in it.
type table struct {
	lock  *os.File
	slots []slot
}

// open locks the file, waiting if need be, and reads it. Two descriptors are
// used since the file need not be readable to who may lock it.
func (f File) open() (*table, error) {
	lock, err := f.locked()
	if err != nil {
		return nil, err
	}
	t := &table{lock: lock}
	if err := t.read(string(f)); err != nil {
		lock.Close()
		return nil, err
	}
	return t, nil
}

func (f File) locked() (*os.File, error) {
	// Without O_NONBLOCK a FIFO in place of the file would hold mail up for ever.
	lock, err := os.OpenFile(string(f), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &Error{"open", err}
	}
	if err := flock(lock); err != nil {
		lock.Close()
		return nil, &Error{"lock", err}
	}
	return lock, nil
}

func (t *table) read(path string) error {
	r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return &Error{"open", err}
	}
	defer r.Close()
	buf := make([]byte, fileSize)
	n, err := r.Read(buf)
	if err != nil && err != io.EOF {
		return &Error{"read", err}
	}
	for at := 0; at+slotSize <= n; at += slotSize {
		t.slots = append(t.slots, slot(buf[at:at+slotSize]))
	}
	return nil
}

func (t *table) close() { t.lock.Close() }

// find returns the number of the first record of addr, or -1. A free record still
// names its address, so that a success which freed it is remembered as presence.
func (t *table) find(addr netip.Addr) int {
	for i, s := range t.slots {
		if s.addr() == addr {
			return i
		}
	}
	return -1
}

// write puts record i back. A failure leaves the file as it was, or the record
// garbled, which its readers bear.
func (t *table) write(i int) { t.lock.WriteAt(t.slots[i], int64(i)*slotSize) }

// Query tells whether to leave addr alone for now, and whether the file knows the
// address at all, in which case the outcome of a connection has to be reported.
// How long a host is left alone varies with the process, so that not everybody
// comes back at once.
func (f File) Query(addr netip.Addr, now time.Time, pid int) (skip, known bool) {
	addr = addr.Unmap()
	if !addr.Is4() {
		return false, false
	}
	t, err := f.open()
	if err != nil {
		return false, false
	}
	defer t.close()
	i := t.find(addr)
	if i < 0 {
		return false, false
	}
	s := t.slots[i]
	return s.count() >= skipFrom && now.Unix()-s.last() < int64(wait(pid)/time.Second), true
}

// Answered reports that addr is alive: it was connected to, or refused. It is
// needed only for an address that Query knew.
func (f File) Answered(addr netip.Addr) {
	addr = addr.Unmap()
	if !addr.Is4() {
		return
	}
	t, err := f.open()
	if err != nil {
		return
	}
	defer t.close()
	if i := t.find(addr); i >= 0 {
		t.slots[i].setCount(0)
		t.write(i)
	}
}

// TimedOut reports that connecting to addr took longer than allowed.
func (f File) TimedOut(addr netip.Addr, now time.Time) {
	addr = addr.Unmap()
	if !addr.Is4() {
		return
	}
	t, err := f.open()
	if err != nil {
		return
	}
	defer t.close()
	i := t.find(addr)
	if i < 0 {
		if i = t.victim(); i >= 0 {
			s := t.slots[i]
			s.setAddr(addr.As4())
			s.setCount(1)
			s.setLast(now.Unix())
			t.write(i)
		}
		return
	}
	s := t.slots[i]
	if s.count() > 0 && now.Unix() < s.last()+settle {
		return
	}
	s.setCount(min(s.count()+1, maxCount))
	s.setLast(now.Unix())
	t.write(i)
}

// victim picks the record for a new address: a free one, else the one whose last
// timeout is longest ago, each further timeout counting as 1024 seconds. It is -1
// for a file without records.
func (t *table) victim() int {
	best := -1
	var least int64
	for i, s := range t.slots {
		if s.count() == 0 {
			return i
		}
		weight := s.last() + int64(s.count())<<10
		if best < 0 || weight < least {
			best, least = i, weight
		}
	}
	return best
}

// Entries returns the hosts with timeouts, as qmail-tcpto lists them.
func (f File) Entries() ([]Entry, error) {
	t, err := f.open()
	if err != nil {
		return nil, err
	}
	defer t.close()
	var list []Entry
	for _, s := range t.slots {
		if s.count() > 0 {
			list = append(list, Entry{s.addr(), s.count(), time.Unix(s.last(), 0).UTC()})
		}
	}
	return list, nil
}

// Wipe forgets every host, under the lock: qmail-tcpok.
func (f File) Wipe() error {
	lock, err := f.locked()
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := lock.WriteAt(make([]byte, fileSize), 0); err != nil {
		return &Error{"clear", err}
	}
	return nil
}

// Reset forgets every host without waiting for anybody: qmail-rspawn at its start,
// when no delivery of its own can be at work. A failure changes nothing.
func (f File) Reset() {
	file, err := os.OpenFile(string(f), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer file.Close()
	file.WriteAt(make([]byte, fileSize), 0)
}

// flock waits for the exclusive lock on f, which ends when f is closed.
func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			return err
		}
	}
}
