//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// programs are what the bench calls, with the packages that have them.
var programs = [][2]string{
	{"make", "make"}, {"go", "golang-go"}, {"apt-get", "apt"}, {"apt-cache", "apt"}, {"dpkg", "dpkg"}, {"tar", "tar"},
	{"ip", "iproute2"}, {"losetup", "mount"}, {"mkfs.ext4", "e2fsprogs"}, {"strace", "strace"},
	{"useradd", "passwd"}, {"groupadd", "passwd"}, {"chroot", "coreutils"},
}

// wanting says what this machine lacks for the bench, all of it at once.
func wanting() error {
	var lacking []error
	if os.Geteuid() != 0 {
		lacking = append(lacking, errors.New("needs root, for users, mounts and a network of its own"))
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p[0]); err != nil {
			lacking = append(lacking, fmt.Errorf("needs %s (Debian's package %s)", p[0], p[1]))
		}
	}
	if _, err := unifiedHierarchy(); err != nil {
		lacking = append(lacking, err)
	}
	filesystems, _ := os.ReadFile("/proc/filesystems")
	if !strings.Contains(string(filesystems), "\toverlay\n") {
		run("modprobe", "overlay") // where it is a module; the mount says if that was in vain
	}
	return errors.Join(lacking...)
}

// run runs a program of this host that has to succeed, and returns what it printed.
func run(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

var libraryName = regexp.MustCompile(`lib[a-z0-9.+-]+$`)

// debs is where packages are kept from run to run, below the sources.
const debs = ".testdeps/debs"

// fetch gets a package, and the libraries that it needs and this host has not. Nothing
// is installed: that would start services here, and take over the host's mail.
func fetch(name string) error {
	list := filepath.Join(debs, name+".needs")
	if _, err := os.Stat(list); err == nil {
		return nil
	}
	if err := os.MkdirAll(debs, 0o755); err != nil {
		return err
	}
	if _, err := run("apt-cache", "show", name); err != nil {
		fmt.Println("bringing the lists of packages up to date")
		if _, err := run("apt-get", "update", "-q"); err != nil {
			return err
		}
	}
	names, err := missingLibraries(name)
	if err != nil {
		return err
	}
	names = append(names, name)
	get := exec.Command("apt-get", append([]string{"download", "-q", "-o", "APT::Sandbox::User=root"}, names...)...)
	get.Dir = debs
	if out, err := get.CombinedOutput(); err != nil {
		return fmt.Errorf("packages cannot be had: %w\n%s", err, out)
	}
	return os.WriteFile(list, []byte(strings.Join(names, "\n")), 0o644)
}

// deb finds the file of a package that has been fetched: NAME_VERSION_ARCHITECTURE.deb.
func deb(name string) (string, error) {
	found, err := filepath.Glob(filepath.Join(debs, name+"_*.deb"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%d files of the package %s in %s; remove it to have them fetched again", len(found), name, debs)
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// unpack unpacks a package into h, with the libraries that it needs. What a package has
// as a directory may be a symbolic link by now, and stays one.
func (h *host) unpack(name string) error {
	needs, err := os.ReadFile(filepath.Join(debs, name+".needs"))
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(needs)) {
		file, err := deb(name)
		if err != nil {
			return err
		}
		script := "rm -rf /unpacked && dpkg -x /mnt/debs/" + filepath.Base(file) + " /unpacked && " +
			"tar -C /unpacked -cf - . | tar -C / --keep-directory-symlink -xpf - && rm -rf /unpacked"
		if _, err := h.sh(script); err != nil {
			return err
		}
	}
	return nil
}

// missingLibraries lists what a package needs beyond this host's libraries.
func missingLibraries(name string) ([]string, error) {
	wanted := []string{name}
	var out []string
	seen := map[string]bool{}
	for len(wanted) > 0 {
		text, err := run("apt-cache", "depends", "--important", wanted[0])
		if err != nil {
			return nil, err
		}
		wanted = wanted[1:]
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			library := libraryName.FindString(line)
			if !strings.HasPrefix(line, "Depends: lib") || library == "" || seen[library] {
				continue
			}
			seen[library] = true
			if _, err := run("dpkg", "-s", library); err != nil {
				wanted, out = append(wanted, library), append(out, library)
			}
		}
	}
	return out, nil
}
