package assigned

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quail/internal/cdb"
	"quail/internal/cdbfile"
	"quail/internal/delivery"
	"quail/internal/users"
)

func TestFind(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cdb")
	db := cdbfile.Keep(name)
	if e, ok, err := Find(db, "joe"); ok || err != nil {
		t.Errorf("without a database: %+v, %v, %v", e, ok, err)
	}
	draft, err := cdbfile.Create(name + ".tmp")
	if err != nil {
		t.Fatal(err)
	}
	for record, err := range users.Assign(strings.NewReader("+joe-:joe:1:2:/h:-:x:\n=bad:bad:none:2:/h:::\n.\n")) {
		if err != nil {
			t.Fatal(err)
		}
		if err := draft.Add(record); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(draft.Finish(), draft.Publish(name)); err != nil {
		t.Fatal(err)
	}
	want := users.Entry{Assignment: users.Assignment{User: "joe", UID: 1, GID: 2, Home: "/h", Dash: "-", Ext: "xY"}, Line: "+joe-"}
	if e, ok, err := Find(db, "Joe-Y"); e != want || !ok || err != nil {
		t.Errorf("Joe-Y: %+v, %v, %v, want %+v", e, ok, err, want)
	}
	if e, ok, err := Find(db, "joe"); ok || err != nil {
		t.Errorf("joe: %+v, %v, %v", e, ok, err)
	}
	status := func(local string) int {
		var f *Failure
		if _, ok, err := Find(db, local); ok || !errors.As(err, &f) {
			t.Fatalf("%s: %v, %v", local, ok, err)
		}
		return f.Status
	}
	if got := status("bad"); got != delivery.StatusBug {
		t.Errorf("a record without an id: status %d", got)
	}
	if err := os.WriteFile(name, []byte("short"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := status("joe"); got != delivery.StatusCdb {
		t.Errorf("a database that is none: status %d", got)
	}
	if _, _, err := Find(db, "joe"); !errors.Is(err, cdb.ErrFormat) {
		t.Errorf("a database that is none: %v", err)
	}
}
