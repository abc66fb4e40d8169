package archtest

import (
	"bytes"
	"go/ast"
	"path/filepath"
	"testing"
)

// Limits in lines. A longer main belongs into a package, a longer function in
// several.
const (
	maxMain     = 80
	maxFunction = 60
	maxReasoned = 120
)

// long lists functions of more than maxFunction lines and why they stay whole.
var long = map[string]string{}

// denied are package names that say nothing.
var denied = map[string]bool{
	"util": true, "utils": true, "helper": true, "helpers": true, "common": true, "misc": true, "types": true,
	"interfaces": true, "dto": true, "base": true, "shared": true, "lib": true, "tools": true, "manager": true,
}

func TestCommandsAreSmall(t *testing.T) {
	for _, p := range packages(t) {
		if !p.command() {
			continue
		}
		for _, f := range p.code() {
			if filepath.Base(f.path) != "main.go" {
				t.Errorf("%s: a command is one main.go; what is longer is a package in internal/", f.path)
			}
			if n := bytes.Count(f.src, []byte("\n")); n > maxMain {
				t.Errorf("%s has %d lines, at most %d: move the program to a package in internal/", f.path, n, maxMain)
			}
		}
	}
}

func TestFunctionsAreShort(t *testing.T) {
	found := map[string]bool{}
	for _, p := range packages(t) {
		for _, f := range p.code() {
			for _, decl := range f.ast.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				lines := fileSet.Position(fn.End()).Line - position(fn).Line + 1
				name := p.dir + "." + fn.Name.Name
				if lines <= maxFunction {
					continue
				}
				found[name] = true
				if lines > maxReasoned {
					t.Errorf("%s: %s has %d lines, which no reason excuses", position(fn), name, lines)
				} else if long[name] == "" {
					t.Errorf("%s: %s has %d lines: divide it, or give a reason in the table long", position(fn), name, lines)
				}
			}
		}
	}
	for name := range long {
		if !found[name] {
			t.Errorf("%s has a reason to be long and is not: the exception is stale", name)
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, p := range packages(t) {
		if denied[p.name()] {
			t.Errorf("%s: a package is a noun of the mail domain", p.dir)
		}
		for _, f := range p.files {
			name := f.ast.Name.Name
			if p.command() && name != "main" {
				t.Errorf("%s is package %s, want main", f.path, name)
			}
			if name != "main" && name != p.name() && !(f.test && name == p.name()+"_test") {
				t.Errorf("%s is package %s in directory %s", f.path, name, p.dir)
			}
		}
	}
}
