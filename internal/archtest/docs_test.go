package archtest

import (
	"go/ast"
	"regexp"
	"strings"
	"testing"
)

// TestPackageComments wants exactly one package comment a package, attached to
// its package clause: a blank line or a build constraint in between and go doc
// shows nothing.
func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		begin := "Package " + p.name() + " "
		if len(p.code()) > 0 && p.code()[0].ast.Name.Name == "main" {
			begin = "Command " + p.name() + " "
		}
		var docs []string
		for _, f := range p.files {
			if doc := f.ast.Doc; doc != nil {
				docs = append(docs, f.path)
				if f.test {
					if len(p.code()) > 0 {
						t.Errorf("%s: a package comment in a test", f.path)
					}
					continue
				}
				if !strings.HasPrefix(doc.Text(), begin) {
					t.Errorf("%s: the package comment does not begin %q", f.path, begin)
				}
				if p.command() {
					checkManual(t, f, doc.Text())
				}
			}
			for _, c := range f.ast.Comments {
				if c != f.ast.Doc && c.Pos() < f.ast.Package && strings.HasPrefix(c.Text(), begin) {
					t.Errorf("%s: the package comment is not attached to the package clause", f.path)
				}
			}
		}
		if len(p.code()) > 0 && len(docs) != 1 {
			t.Errorf("%s has %d package comments, want one: %q", p.dir, len(docs), docs)
		}
	}
}

// checkManual wants the sections that every command's manual page has.
func checkManual(t *testing.T, f *file, text string) {
	name := strings.TrimSuffix(strings.TrimPrefix(f.path, "cmd/"), "/main.go")
	if !regexp.MustCompile(`\n\t(.* )?` + regexp.QuoteMeta(name) + `\b`).MatchString(text) {
		t.Errorf("%s: no usage line, indented, with the program's name", f.path)
	}
	for _, section := range []string{"# Exit status", "# Security"} {
		_, body, found := strings.Cut(text, "\n"+section+"\n")
		if body, _, _ = strings.Cut(body, "\n# "); !found || strings.TrimSpace(body) == "" {
			t.Errorf("%s: the manual page has no section %q with something in it", f.path, section)
		}
	}
}

func TestExportedIsDocumented(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.code() {
			end := 0 // the line of the last function that is one line and has a comment
			for _, decl := range f.ast.Decls {
				switch d := decl.(type) {
				case *ast.FuncDecl:
					first, last := position(d).Line, fileSet.Position(d.End()).Line
					grouped := first == last && first == end+1 // under one comment with the one before
					if first == last && (d.Doc != nil || grouped) {
						end = last
					}
					if d.Name.IsExported() && d.Doc == nil && !grouped && exportedReceiver(d) && !obvious[d.Name.Name] {
						t.Errorf("%s: %s has no comment", position(d), d.Name.Name)
					}
				case *ast.GenDecl:
					for _, spec := range d.Specs {
						if s, ok := spec.(*ast.TypeSpec); ok && s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
							t.Errorf("%s: type %s has no comment", position(s), s.Name.Name)
						}
					}
				}
			}
		}
	}
}

// obvious are methods whose meaning the standard library has settled.
var obvious = map[string]bool{
	"Close": true, "Error": true, "Len": true, "Less": true, "Read": true, "String": true, "Swap": true,
	"Timeout": true, "Unwrap": true, "Write": true,
}

// exportedReceiver reports whether fn is a function, or a method that a user of
// the package can see.
func exportedReceiver(fn *ast.FuncDecl) bool {
	if fn.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(fn.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			exported = id.IsExported()
			return false
		}
		return true
	})
	return exported
}

// unfinished finds what is left lying about in comments.
var unfinished = regexp.MustCompile(`\b(TODO|FIXME|HACK)\b`)

func TestNothingUnfinished(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			for _, c := range f.ast.Comments {
				if p.dir != "internal/archtest" && unfinished.MatchString(c.Text()) {
					t.Errorf("%s: %s", position(c), unfinished.FindString(c.Text()))
				}
			}
		}
	}
}

// A skipped test is one that nobody notices when it stops running.
func TestNothingSkipped(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			if !f.test {
				continue
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				id, ok := sel.X.(*ast.Ident)
				if ok && (id.Name == "t" || id.Name == "tb" || id.Name == "f") && strings.HasPrefix(sel.Sel.Name, "Skip") {
					t.Errorf("%s: a test that skips; one that needs root or the network is a target of its own", position(sel))
				}
				return true
			})
		}
	}
}
