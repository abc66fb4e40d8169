package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quail/internal/control"
)

// page is a manual page in scripts/man.
type page struct {
	name, section string
	lines         []manLine
}

// manLine is a line of a page, and the section that it stands in.
type manLine struct {
	section string
	words   []string // the first one with its dot, if the line is a macro
	text    string
}

// manPages returns all pages by file name.
func manPages(t *testing.T) map[string]page {
	t.Helper()
	dir := filepath.Join(root, "scripts/man")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]page{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		section := filepath.Ext(e.Name())
		p := page{name: strings.TrimSuffix(e.Name(), section), section: strings.TrimPrefix(section, ".")}
		p.lines = parseMan(string(text))
		pages[e.Name()] = p
	}
	return pages
}

func parseMan(text string) (lines []manLine) {
	section := ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == ".Sh" {
			section = strings.Join(words[1:], " ")
		}
		lines = append(lines, manLine{section, words, line})
	}
	return lines
}

// macros are those that can follow others on a line.
var macros = strings.Fields(`Ar Cm Dq Em Ev Fl Li Nm No Ns Oc Oo Op Pa Pf Po Pc Pq Ql Sq Sy Ta Xr`)

// after returns the words to which macro applies on a line, without punctuation.
func (l manLine) after(macro string) (words []string) {
	if len(l.words) == 0 || !strings.HasPrefix(l.words[0], ".") {
		return nil
	}
	current := strings.TrimPrefix(l.words[0], ".")
	for _, word := range l.words[1:] {
		switch {
		case slices.Contains(macros, word):
			current = word
		case current == macro && strings.Trim(word, ".,:;()[]|") != "":
			words = append(words, word)
		}
	}
	return words
}

// all returns the words of a macro anywhere in the page.
func (p page) all(macro string) (words []string) {
	for _, l := range p.lines {
		words = append(words, l.after(macro)...)
	}
	return words
}

func TestParseMan(t *testing.T) {
	p := page{lines: parseMan(".Sh NAME\n.Op Fl ab Op Ar x\n.It Fl c Ar y , Fl d , e\nFl no\n.Fl -json .\n.Sh FILES\n.It Pa control/a , Pa b\n")}
	if got := fmt.Sprint(p.all("Fl"), p.all("Pa"), p.lines[6].section); got != "[ab c d e -json] [control/a b]FILES" {
		t.Errorf("got %s", got)
	}
}

// TestManListed holds scripts/man against scripts/files: each page is installed, and
// each program has one or shares one.
func TestManListed(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "scripts/files"))
	if err != nil {
		t.Fatal(err)
	}
	var listed, programs []string
	covered := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 5 || f[0] == "#" {
			continue
		}
		base, dir := filepath.Base(f[4]), filepath.Dir(f[4])
		program := strings.TrimSuffix(base, filepath.Ext(base))
		switch {
		case dir == "bin":
			programs = append(programs, base)
		case !strings.HasPrefix(dir, "man/") || f[0] == "d":
		case dir != "man/man"+strings.TrimPrefix(filepath.Ext(base), "."):
			t.Errorf("scripts/files has %s in %s", base, dir)
		case f[0] == "m":
			listed = append(listed, base)
			covered[program] = true
		case f[0] == "l":
			covered[program] = true
		}
	}
	var exist []string
	for name := range manPages(t) {
		exist = append(exist, name)
	}
	compare(t, "scripts/files", listed, "scripts/man", exist)
	for _, name := range programs {
		if !covered[name] {
			t.Errorf("%s is installed and has no manual page", name)
		}
	}
	for file, p := range manPages(t) {
		for _, l := range p.lines {
			for _, path := range installedPath.FindAllStringSubmatch(strings.ReplaceAll(l.text, `\-`, "-"), -1) {
				if !slices.Contains(programs, path[1]) {
					t.Errorf("%s names %s, which is not installed", file, path[0])
				}
			}
		}
	}
}

// installedPath is a program in an example.
var installedPath = regexp.MustCompile(`/var/qmail/bin/([a-z0-9-]+)`)

// TestManLint has mandoc judge the pages: Debian's package of that name, which
// scripts/testdeps installs.
func TestManLint(t *testing.T) {
	args := []string{"-T", "lint", "-W", "warning"}
	for name := range manPages(t) {
		args = append(args, name)
	}
	cmd := exec.Command("mandoc", args...)
	cmd.Dir = filepath.Join(root, "scripts/man")
	if output, err := cmd.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("mandoc: %v\n%s", err, output)
	}
}

// TestManForm wants each page to say what a page of its kind has to.
func TestManForm(t *testing.T) {
	for file, p := range manPages(t) {
		want := []string{"NAME", "DESCRIPTION", "EXAMPLES", "SEE ALSO"}
		if p.section == "1" || p.section == "8" {
			want = append(want, "SYNOPSIS", "EXIT STATUS")
		}
		var has []string
		for _, l := range p.lines {
			if len(l.words) > 0 && l.words[0] == ".Sh" {
				has = append(has, l.section)
			}
		}
		for _, section := range want {
			if !slices.Contains(has, section) {
				t.Errorf("%s has no %s", file, section)
			}
		}
		title := fmt.Sprintf(".Dt %s %s\n", strings.ToUpper(p.name), p.section)
		if !slices.ContainsFunc(p.lines, func(l manLine) bool { return l.text == title }) {
			t.Errorf("%s is not titled %q", file, title)
		}
	}
}

// foreignPages are pages of other packages that ours refer to.
var foreignPages = strings.Fields(`crypt.5 flock.2 getent.1 syslogd.8`)

// TestManReferences looks for the pages that pages name, and wants the overview to
// name them all.
func TestManReferences(t *testing.T) {
	pages := manPages(t)
	var overview []string
	for file, p := range pages {
		for _, l := range p.lines {
			words := l.after("Xr")
			for i := 0; i+1 < len(words); i += 2 {
				name := words[i] + "." + words[i+1]
				if _, ok := pages[name]; !ok && !slices.Contains(foreignPages, name) {
					t.Errorf("%s refers to %s, which does not exist", file, name)
				}
				if file == "qmail.7" {
					overview = append(overview, name)
				}
			}
		}
	}
	for file := range pages {
		if file != "qmail.7" && !slices.Contains(overview, file) {
			t.Errorf("qmail.7 does not refer to %s", file)
		}
	}
}

// TestManOptions compares the options in the page of a program with those that its
// code accepts, and its comment with both.
func TestManOptions(t *testing.T) {
	pages := manPages(t)
	for _, p := range packages(t) {
		if !p.command() {
			continue
		}
		accepted, arguments := acceptedOptions(t, p)
		for _, option := range synopsisOptions(p, arguments) {
			if !slices.Contains(accepted, option) {
				t.Errorf("%s: the comment has option -%s, which the code does not accept", p.dir, option)
			}
		}
		for _, section := range []string{"1", "8"} {
			if page, ok := pages[p.name()+"."+section]; ok {
				var told []string
				for _, word := range page.all("Fl") {
					told = append(told, optionsOf(word, arguments)...)
				}
				slices.Sort(told)
				compare(t, "the page of "+p.name(), slices.Compact(told), "its code", accepted)
			}
		}
	}
}

// optionsOf divides a word after a hyphen: a long option, or letters up to the first
// one that takes the rest of the word as its argument.
func optionsOf(word, arguments string) (options []string) {
	if strings.HasPrefix(word, "-") {
		name, _, _ := strings.Cut(word, "=")
		return []string{name}
	}
	for _, letter := range word {
		options = append(options, string(letter))
		if strings.ContainsRune(arguments, letter) {
			break
		}
	}
	return options
}

// synopsisOptions returns the options in the lines of a comment that show how the
// program is called.
func synopsisOptions(p *pkg, arguments string) (options []string) {
	for _, f := range p.code() {
		if f.ast.Doc == nil {
			continue
		}
		called := false // by this line or the one that it continues
		for line := range strings.Lines(f.ast.Doc.Text()) {
			called = strings.HasPrefix(line, "\t"+p.name()+" ") || called && len(strings.TrimLeft(line, "\t ")) < len(line)-1
			if !called {
				continue
			}
			for _, word := range strings.Fields(line) {
				word = strings.Trim(word, "[]()|,")
				if option, ok := strings.CutPrefix(word, "-"); ok && option != "" && option != "-" {
					options = append(options, optionsOf(option, arguments)...)
				}
			}
		}
	}
	return options
}

// acceptedOptions returns what the code of a program accepts, and those letters among
// it that take an argument.
func acceptedOptions(t *testing.T, p *pkg) (options []string, arguments string) {
	t.Helper()
	found := map[string]*pkg{p.name(): p}
	for _, f := range p.code() {
		for _, path := range f.imports() {
			if dir, ok := strings.CutPrefix(path, module+"/"); ok && dir != "internal/prog" {
				if q := find(t, dir); q != nil {
					found[q.name()] = q
				}
			}
		}
	}
	// Of several, the one that is named like the program: sendmail also is qmail-inject.
	specs := map[string]string{}
	for name, q := range found {
		spec, long := optionCalls(q)
		if spec != "" {
			specs[name] = spec
		}
		options = append(options, long...)
	}
	spec := ""
	for name, s := range specs {
		own := name == p.name() || name == strings.ReplaceAll(strings.TrimPrefix(p.name(), "qmail-"), "-", "")
		if own || len(specs) == 1 {
			spec = s
		}
	}
	if spec == "" && len(specs) > 0 {
		t.Errorf("%s: which options does it have: %q?", p.dir, specs)
	}
	for i, letter := range spec {
		switch {
		case letter == ':':
		case strings.HasPrefix(spec[i+1:], ":"):
			arguments += string(letter)
			fallthrough
		default:
			options = append(options, string(letter))
		}
	}
	slices.Sort(options)
	return slices.Compact(options), arguments
}

// optionCalls returns the string that a package gives to Getopt, and the names that
// it gives to pflag.
func optionCalls(p *pkg) (spec string, long []string) {
	for _, f := range p.code() {
		flags := slices.Contains(f.imports(), "github.com/spf13/pflag")
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if sel.Sel.Name == "Getopt" && len(call.Args) == 1 {
				spec, _ = constant(call.Args[0])
			}
			if flags {
				long = append(long, flagNames(sel.Sel.Name, call)...)
			}
			return true
		})
	}
	return spec, long
}

// flagNames returns the options that a call of pflag's makes: BoolVarP(&v, "name",
// "n", …) has both, BoolVar(&v, "name", …) the first.
func flagNames(method string, call *ast.CallExpr) (names []string) {
	kind := strings.TrimSuffix(strings.TrimSuffix(method, "P"), "Var")
	kinds := append(strings.Fields("Bool Count Duration Int Int64 String StringArray StringSlice Uint Uint64"), "") // of Var
	if !slices.Contains(kinds, kind) {
		return nil
	}
	for _, arg := range call.Args {
		lit, ok := arg.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			continue
		}
		name, _ := strconv.Unquote(lit.Value)
		if len(names) > 0 {
			if strings.HasSuffix(method, "P") && name != "" {
				names = append(names, name)
			}
			break
		}
		names = append(names, "-"+name)
	}
	return names
}

// conventions are control files that boot scripts read and no program.
var conventions = strings.Fields(`defaultdelivery authprogram concurrencyincoming concurrencysubmission`)

// TestManControl holds the control files in the pages against the registry: a page
// names those that its program reads, and lists no others among its files.
func TestManControl(t *testing.T) {
	pages := manPages(t)
	named := map[string]bool{} // page and file
	for file, p := range pages {
		for _, l := range p.lines {
			for _, path := range l.after("Pa") {
				name, ok := strings.CutPrefix(strings.TrimPrefix(path, "/var/qmail/"), "control/")
				if !ok {
					continue
				}
				named[p.name+" "+name] = true
				s, ok := control.Find(strings.Replace(name, ".tmp", ".cdb", 1))
				if !ok && !slices.Contains(conventions, name) {
					t.Errorf("%s names control/%s, which is not registered", file, name)
				}
				isFile := l.section == "FILES" && l.words[0] == ".It"
				reads := slices.Contains(strings.Fields(s.Readers), p.name) || s.Readers == "all"
				if ok && isFile && !reads && name == s.Name && (p.section == "1" || p.section == "8") {
					t.Errorf("%s lists control/%s, which the registry says %s reads", file, name, s.Readers)
				}
			}
		}
	}
	for _, s := range control.Registry {
		for _, reader := range strings.Fields(s.Readers) {
			_, user := pages[reader+".1"]
			_, admin := pages[reader+".8"]
			if (user || admin) && !named[reader+" "+s.Name] {
				t.Errorf("the page of %s does not name control/%s", reader, s.Name)
			}
		}
		if !named["qmail-control "+s.Name] {
			t.Errorf("qmail-control.5 does not describe control/%s", s.Name)
		}
	}
}

// TestManControlTable compares the table in qmail-control.5 with the registry.
func TestManControlTable(t *testing.T) {
	kinds := map[control.Kind]string{control.KindLine: "line", control.KindNumber: "number",
		control.KindList: "list", control.KindCompiled: "compiled",
		control.KindSecrets: "secrets", control.KindPEM: "PEM"}
	var got, want []string
	for _, l := range manPages(t)["qmail-control.5"].lines {
		row, ok := strings.CutPrefix(l.text, ".It Pa ")
		if ok && strings.Contains(row, " Ta ") {
			got = append(got, strings.Join(strings.Fields(row), " "))
		}
	}
	for _, s := range control.Registry {
		row := fmt.Sprintf("%s Ta %s Ta %s Ta %s", s.Name, kinds[s.Kind], s.Default, s.Readers)
		want = append(want, strings.Join(strings.Fields(row), " "))
	}
	compare(t, "the table in qmail-control.5", got, "control.Registry", want)
}
