package selection

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"quail/internal/order"
	"quail/internal/queue"
)

const now = 1767588414

// newQueue makes a queue with its directories.
func newQueue(t testing.TB) queue.Dir {
	t.Helper()
	dir := queue.Dir(t.TempDir())
	for _, d := range slices.Concat([]queue.Name{"todo", "bounce"}, queue.Splits("mess"), queue.Splits("info"), queue.Splits("local"), queue.Splits("remote")) {
		if err := os.MkdirAll(dir.Path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// put writes a file that was changed some seconds ago.
func put(t testing.TB, dir queue.Dir, n queue.Name, contents string, age int64) {
	t.Helper()
	if err := os.WriteFile(dir.Path(n), []byte(contents), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(now-age, 0)
	if err := os.Chtimes(dir.Path(n), at, at); err != nil {
		t.Fatal(err)
	}
}

func message(t testing.TB, dir queue.Dir, id queue.ID, age int64, sender, local, remote string) {
	t.Helper()
	put(t, dir, id.Mess(), "text\n", age)
	put(t, dir, id.Info(), "F"+sender+"\x00", age)
	for c, records := range []string{local, remote} {
		if records != "" {
			put(t, dir, id.Recipients(queue.Channel(c)), records, -100)
		}
	}
}

func text(s string) *string { return &s }

func TestEach(t *testing.T) {
	dir := newQueue(t)
	message(t, dir, 1, 10, "joe@a", "Tx@l\x00Dy@l\x00", "Tz@r\x00")
	message(t, dir, 2, 1000, "", "", "Dx@l\x00Tz@r\x00")
	message(t, dir, 3, 500, "ann@b", "", "")
	put(t, dir, queue.ID(3).Bounce(), "no\n", 0)
	put(t, dir, queue.ID(4).Mess(), "text\n", 0)
	put(t, dir, queue.ID(4).Todo(), "u1\x00p2\x00Fjoe@c\x00Tx@l\x00", 5)
	put(t, dir, queue.ID(4).Info(), "Fhalf", 0) // an interrupted preprocessing
	message(t, dir, 5, 10, "held@a", "Tx@l\x00", "")
	at := time.Unix(queue.Held, 0)
	if err := os.Chtimes(dir.Path(queue.ID(5).Recipients(queue.Local)), at, at); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    order.Order
		want string
	}{
		{order.Order{All: true}, "1 waiting 2/1, 2 waiting 1/1, 3 ending 0/0 B, 4 todo 1/0, 5 held 1/0"},
		{order.Order{IDs: []uint64{5, 1, 5, 99}}, "1 waiting 2/1, 5 held 1/0"},
		{order.Order{Sender: text("JOE@*")}, "1 waiting 2/1, 4 todo 1/0"},
		{order.Order{Sender: text("")}, "2 waiting 1/1"},
		{order.Order{Recipient: text("x@l")}, "1 waiting 2/1, 4 todo 1/0, 5 held 1/0"}, // 2 has been delivered to him
		{order.Order{Older: 400}, "2 waiting 1/1, 3 ending 0/0 B"},
		{order.Order{Younger: 10}, "4 todo 1/0"},
		{order.Order{Older: 400, Recipient: text("*@r"), IDs: []uint64{1, 2}}, "2 waiting 1/1"},
	} {
		var got []string
		err := Each(dir, c.o, time.Unix(now, 0), func(f Found, err error) bool {
			if err != nil || !f.Same(dir) {
				t.Errorf("%v: %v, the same: %v", f.ID(), err, f.Same(dir))
			}
			line := fmt.Sprintf("%d %s %d/%d", f.ID(), f.State, f.Left, f.Done)
			if f.Bouncing {
				line += " B"
			}
			got = append(got, line)
			return true
		})
		slices.Sort(got)
		if strings.Join(got, ", ") != c.want || err != nil {
			t.Errorf("%+v: %q, %v, want %q", c.o, got, err, c.want)
		}
	}
	if got := Missing(dir, []uint64{1, 4, 6}); !slices.Equal(got, []uint64{6}) {
		t.Errorf("missing are %v", got)
	}
}

// A message that cannot be read is told of, and does not end the search.
func TestTrouble(t *testing.T) {
	dir := newQueue(t)
	message(t, dir, 1, 10, "a@b", "?\x00", "")
	message(t, dir, 2, 10, "a@b", "Tx@l\x00", "")
	var wrong, right int
	err := Each(dir, order.Order{}, time.Unix(now, 0), func(f Found, err error) bool {
		var e *queue.Error
		if errors.As(err, &e) && e.Name == "local/1/1" && f.ID() == 1 {
			wrong++
		} else if err == nil {
			right++
		}
		return true
	})
	if err != nil || wrong != 1 || right != 1 {
		t.Errorf("%v, %d and %d", err, wrong, right)
	}
	if err := os.Remove(dir.Path("todo")); err != nil {
		t.Fatal(err)
	}
	if err := Each(dir, order.Order{}, time.Unix(now, 0), nil); err == nil {
		t.Error("a queue without todo was read")
	}
}

// Another message with the number is not the same.
func TestSame(t *testing.T) {
	dir := newQueue(t)
	message(t, dir, 1, 10, "a@b", "Tx@l\x00", "")
	f, ok, err := One(dir, order.Order{}, 1, time.Unix(now, 0))
	if !ok || err != nil || !f.Same(dir) {
		t.Fatalf("%v, %v", ok, err)
	}
	put(t, dir, queue.ID(1).Info(), "Fa@b\x00", 11)
	if f.Same(dir) {
		t.Error("one that was queued at another time is the same")
	}
	os.Remove(dir.Path(queue.ID(1).Info()))
	if f.Same(dir) {
		t.Error("one that is gone is the same")
	}
}

// Whatever a todo file holds, what is found of it is what its records say.
func FuzzTodo(f *testing.F) {
	f.Add("u1\x00p2\x00Fa@b\x00Tc@d\x00Te@f\x00")
	f.Add("Fa@b\x00Tc@d")
	dir := newQueue(f)
	put(f, dir, queue.ID(1).Mess(), "", 0)
	f.Fuzz(func(t *testing.T, records string) {
		put(t, dir, queue.ID(1).Todo(), records, 0)
		found, ok, err := One(dir, order.Order{Verb: order.Show}, 1, time.Unix(now, 0))
		if err != nil {
			return
		}
		if !ok || records != "" && !strings.HasSuffix(records, "\x00") {
			t.Fatalf("%q: %v", records, ok)
		}
		var recipients []string
		for _, r := range strings.Split(records, "\x00") {
			if strings.HasPrefix(r, "T") {
				recipients = append(recipients, r[1:])
			}
		}
		if len(recipients) != found.Left {
			t.Errorf("%q has %d recipients", records, found.Left)
		}
		for i, r := range found.Recipients {
			if r.Address != recipients[i] || r.Done {
				t.Errorf("%q: recipient %d is %+v", records, i, r)
			}
		}
	})
}
