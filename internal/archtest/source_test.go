package archtest

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// root is the top of the source tree.
const root = "../.."

// module is the import path of the tree.
const module = "quail"

// file is one Go file, for whatever platform.
type file struct {
	path string // below root
	src  []byte
	ast  *ast.File
	test bool // a _test.go file
}

// pkg is one directory with Go files in it.
type pkg struct {
	dir   string // below root: "internal/queue"
	files []*file
}

// name returns the last element of the directory.
func (p *pkg) name() string { return filepath.Base(p.dir) }

// command reports whether the package is one of the suite's programs.
func (p *pkg) command() bool { return filepath.Dir(p.dir) == "cmd" }

// code returns the files that are not tests.
func (p *pkg) code() []*file {
	var out []*file
	for _, f := range p.files {
		if !f.test {
			out = append(out, f)
		}
	}
	return out
}

// imports returns the paths that f imports.
func (f *file) imports() []string {
	var out []string
	for _, spec := range f.ast.Imports {
		path, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		out = append(out, path)
	}
	return out
}

// uses calls fn with every NAME.SELECTOR in f where NAME is an imported package,
// written as "import/path.SELECTOR".
func (f *file) uses(fn func(what string, at token.Position)) {
	names := map[string]string{}
	for i, path := range f.imports() {
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec := f.ast.Imports[i]; spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = path
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		// An identifier with an Obj is a variable that hides the package.
		if id, ok := sel.X.(*ast.Ident); ok && id.Obj == nil && names[id.Name] != "" {
			fn(names[id.Name]+"."+sel.Sel.Name, position(sel))
		}
		return true
	})
}

// fileSet gives the positions of everything parsed.
var fileSet = token.NewFileSet()

func position(n ast.Node) token.Position { return fileSet.Position(n.Pos()) }

// tree parses the whole source tree, once.
var tree = sync.OnceValues(func() ([]*pkg, error) {
	byDir := map[string]*pkg{}
	var out []*pkg
	for _, top := range []string{"cmd", "internal", "scripts"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" {
				if d != nil && d.IsDir() && d.Name() == "testdata" {
					return filepath.SkipDir
				}
				return err
			}
			f := &file{test: strings.HasSuffix(path, "_test.go")}
			if f.path, err = filepath.Rel(root, path); err != nil {
				return err
			}
			if f.src, err = os.ReadFile(path); err != nil {
				return err
			}
			if f.ast, err = parser.ParseFile(fileSet, f.path, f.src, parser.ParseComments); err != nil {
				return err
			}
			dir := filepath.Dir(f.path)
			if byDir[dir] == nil {
				byDir[dir] = &pkg{dir: dir}
				out = append(out, byDir[dir])
			}
			byDir[dir].files = append(byDir[dir].files, f)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
})

// packages returns every package of the tree.
func packages(t *testing.T) []*pkg {
	t.Helper()
	all, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// find returns the package in dir, or nil.
func find(t *testing.T, dir string) *pkg {
	t.Helper()
	for _, p := range packages(t) {
		if p.dir == dir {
			return p
		}
	}
	return nil
}

func TestFormatted(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.files {
			want, err := format.Source(f.src)
			if err != nil {
				t.Errorf("%s: %v", f.path, err)
			} else if !bytes.Equal(f.src, want) {
				t.Errorf("%s is not as gofmt writes it: make fmt", f.path)
			}
		}
	}
}
