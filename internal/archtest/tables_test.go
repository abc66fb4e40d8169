package archtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quail/internal/control"
	"quail/internal/showctl"
)

// row is a line of a table in a Markdown file, by the titles of the columns. The
// cell of the first column, a name in backquotes, is also name.
type row struct {
	name  string
	cells map[string]string
}

// table returns the rows of the tables below the first heading of file that
// contains word, up to the next heading of the same or a higher level. There is
// none as long as the file has not been written.
func table(t *testing.T, file, word string) (rows []row, exists bool) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return parseTable(string(text), word)
}

func parseTable(text, word string) (rows []row, exists bool) {
	level := 0 // of the heading, 0 before it
	var titles []string
	for line := range strings.Lines(text) {
		title := strings.TrimLeft(line, "#")
		if marks := len(line) - len(title); marks > 0 {
			if level > 0 && marks <= level {
				break
			}
			if level == 0 && strings.Contains(strings.ToLower(title), word) {
				level = marks
			}
		}
		cells := parseCells(line)
		switch {
		case level == 0 || cells == nil:
			titles = nil
		case titles == nil:
			titles = cells
		case strings.HasPrefix(line, "| `"):
			r := row{name: cells[0], cells: map[string]string{}}
			for i, cell := range cells {
				if i < len(titles) {
					r.cells[titles[i]] = cell
				}
			}
			rows = append(rows, r)
		}
	}
	return rows, level > 0
}

// parseCells divides a table line; backquotes and surrounding blanks are dropped.
func parseCells(line string) []string {
	line = strings.TrimSpace(line)
	if len(line) < 2 || line[0] != '|' || line[len(line)-1] != '|' {
		return nil
	}
	cells := strings.Split(strings.ReplaceAll(line[1:len(line)-1], "`", ""), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

func TestParseTable(t *testing.T) {
	const text = "# House\n| `no` | x |\n## The Programs\n\n| program | task |\n| --- | --- |\n" +
		"| `a` | `b` and c |\nbetween | `the` |\n### More\n| program | task |\n| - | - |\n| `d` | |\n## Other\n| `e` | |\n"
	rows, exists := parseTable(text, "programs")
	if got := fmt.Sprint(rows); !exists || got != "[{a map[program:a task:b and c]} {d map[program:d task:]}]" {
		t.Errorf("got %s, %v", got, exists)
	}
	if rows, exists := parseTable(text, "absent"); exists || rows != nil {
		t.Errorf("found a section that is not there: %v", rows)
	}
}

// commands returns the names of the directories in cmd.
func commands(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, p := range packages(t) {
		if p.command() {
			names = append(names, p.name())
		}
	}
	return names
}

// compare wants two lists of names to be the same, whatever their order.
func compare(t *testing.T, gotName string, got []string, wantName string, want []string) {
	t.Helper()
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s has %s, %s has not", wantName, name, gotName)
		}
	}
	for i, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("%s has %s, %s has not", gotName, name, wantName)
		}
		if slices.Contains(got[:i], name) {
			t.Errorf("%s has %s twice", gotName, name)
		}
	}
}

func names(rows []row) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r.name)
	}
	return out
}

// scriptNames returns the names of the programs that are shell scripts.
func scriptNames(t *testing.T) (out []string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(root, "scripts/commands"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		out = append(out, f.Name())
	}
	return out
}

func TestReadmeListsPrograms(t *testing.T) {
	if rows, exists := table(t, "README.md", "programs"); exists {
		compare(t, "the table of programs in README.md", names(rows), "cmd and scripts/commands",
			append(commands(t), scriptNames(t)...))
	}
}

// TestInstalled compares cmd and scripts/commands with scripts/files, and wants every program that
// only root may run or that changes its user id to be in the table privileged.
func TestInstalled(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "scripts/files"))
	if err != nil {
		t.Fatal(err)
	}
	var installed []string
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) != 5 || words[0] != "x" && words[0] != "c" {
			continue
		}
		name := filepath.Base(words[4])
		installed = append(installed, name)
		mode, err := strconv.ParseUint(words[1], 8, 32)
		if err != nil {
			t.Errorf("scripts/files: %s: %v", name, err)
		}
		listed := slices.ContainsFunc(privileged, func(p struct {
			name, as string
			allowed  map[string]string
		}) bool {
			return p.name == name
		})
		if (mode&0o6000 != 0 || mode&0o077 == 0) && !listed {
			t.Errorf("%s is installed with mode %s and not in the table privileged", name, words[1])
		}
	}
	compare(t, "scripts/files", installed, "cmd and scripts/commands", append(commands(t), scriptNames(t)...))
}

// TestControlTables compares the tables of control files with the code: name,
// default, readers.
func TestControlTables(t *testing.T) {
	var want []string
	for _, s := range control.Registry {
		want = append(want, s.Name)
	}
	for file, heading := range map[string]string{"README.md": "control files", "control/README.md": "control"} {
		rows, exists := table(t, file, heading)
		if !exists || len(rows) == 0 && file == "README.md" {
			continue // README may do with a link
		}
		compare(t, "the table of control files in "+file, names(rows), "control.Registry", want)
		for _, r := range rows {
			s, _ := control.Find(r.name)
			if got := r.cells["default"]; got != s.Default && !(got == "none" && s.Default == "") {
				t.Errorf("%s: the default of %s is %q, not %q", file, r.name, s.Default, got)
			}
			if got := strings.ReplaceAll(r.cells["read by"], ",", ""); got != s.Readers {
				t.Errorf("%s: %s is read by %q, not %q", file, r.name, s.Readers, got)
			}
		}
	}
}

// otherFiles are files that are read as control files are, and are none.
var otherFiles = map[string]string{
	"include":   "of qmail-pw2u, in users/",
	"exclude":   "of qmail-pw2u, in users/",
	"mailnames": "of qmail-pw2u, in users/",
}

// readCalls are the methods of control.Dir and what they read.
var readCalls = map[string]control.Kind{
	"Line": control.KindLine, "LineOr": control.KindLine, "Int": control.KindNumber,
	"List": control.KindList, "Set": control.KindList, "Map": control.KindList,
	"Secrets": control.KindSecrets, "Text": control.KindPEM,
}

// TestControlCalls looks at the calls that read a control file: the file must be
// registered with the kind it is read as. And wherever a call has the name of a
// number's file and then a number, that must be the registered default.
func TestControlCalls(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.code() {
			if !slices.Contains(f.imports(), module+"/internal/control") {
				continue
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					checkKind(t, call)
					checkDefault(t, call)
				}
				return true
			})
		}
	}
}

func checkKind(t *testing.T, call *ast.CallExpr) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return
	}
	kind, reads := readCalls[sel.Sel.Name]
	name, known := constant(call.Args[0])
	if !reads || !known || otherFiles[name] != "" {
		return
	}
	if s, ok := control.Find(name); !ok || s.Kind != kind {
		t.Errorf("%s: %s(%q): control.Registry has no such file of that kind", position(call), sel.Sel.Name, name)
	}
}

func checkDefault(t *testing.T, call *ast.CallExpr) {
	for i := range len(call.Args) - 1 {
		name, _ := constant(call.Args[i])
		value, known := constant(call.Args[i+1])
		s, ok := control.Find(name)
		if ok && known && s.Kind == control.KindNumber && value != s.Default {
			t.Errorf("%s: the default of %s is %s in control.Registry, %s here", position(call), name, s.Default, value)
		}
	}
}

// constant returns the value of a string or number, written out or named by a
// constant of the same file.
func constant(e ast.Expr) (value string, known bool) {
	if id, ok := e.(*ast.Ident); ok && id.Obj != nil && id.Obj.Kind == ast.Con {
		if spec, ok := id.Obj.Decl.(*ast.ValueSpec); ok && len(spec.Names) == 1 && len(spec.Values) == 1 {
			e = spec.Values[0]
		}
	}
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return "", false
	}
	if lit.Kind == token.STRING {
		value, err := strconv.Unquote(lit.Value)
		return value, err == nil
	}
	return strings.ReplaceAll(lit.Value, "_", ""), lit.Kind == token.INT
}

// differs is how a deliberate difference is marked in the source.
var differs = regexp.MustCompile(`Differs from qmail[:,]`)

// TestDifferencesAreTold compares the marks in the source with what qmail-showctl
// prints: every package that differs from qmail on purpose is told of.
func TestDifferencesAreTold(t *testing.T) {
	told := map[string]string{}
	for _, d := range showctl.Differences {
		for _, name := range strings.Fields(d.Packages) {
			told[name] = d.Topic
		}
	}
	marked := map[string]bool{}
	for _, p := range packages(t) {
		for _, f := range p.code() {
			for _, c := range f.ast.Comments {
				if !differs.MatchString(c.Text()) {
					continue
				}
				marked[p.name()] = true
				if told[p.name()] == "" {
					t.Errorf("%s: a difference from qmail that showctl.Differences does not tell of", position(c))
				}
			}
		}
	}
	for name, topic := range told {
		if !marked[name] {
			t.Errorf("showctl.Differences says that %s differs in %q, but nothing there is marked so", name, topic)
		}
	}
	checkReadmeDifferences(t)
}

// checkReadmeDifferences wants README to have the same list in the same words,
// once it has one.
func checkReadmeDifferences(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(readme), "on purpose\n")
	list, _, _ = strings.Cut(list, "\n## ")
	if !strings.Contains(list, "\n- ") {
		return
	}
	plain := func(s string) string { return strings.Join(strings.Fields(strings.ReplaceAll(s, "`", "")), " ") }
	for _, d := range showctl.Differences {
		if item := fmt.Sprintf("- **%s:** %s.", d.Topic, d.Text); !strings.Contains(plain(list), plain(item)) {
			t.Errorf("README.md does not have this item in its list of differences:\n%s", item)
		}
	}
}

// readers are the packages that read bytes from another process, from the network
// or from files that others write. See ARCHITECTURE.md, contracts.
var readers = strings.Fields(`
	aliases crlf forwarding maillist peer
	cdb control delivery dotqmail dottext envelope mailaddr netstring pop3 queue received resolve
	rfc822 submission tcprules tcpto ucspi users
`)

func TestReadersAreFuzzed(t *testing.T) {
	for _, name := range readers {
		p := find(t, "internal/"+name)
		if p == nil {
			t.Errorf("there is no internal/%s", name)
			continue
		}
		fuzzed := false
		for _, f := range p.files {
			for _, decl := range f.ast.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				fuzzed = fuzzed || f.test && ok && strings.HasPrefix(fn.Name.Name, "Fuzz")
			}
		}
		if !fuzzed {
			t.Errorf("internal/%s reads what others wrote and has no fuzz test", name)
		}
	}
}
