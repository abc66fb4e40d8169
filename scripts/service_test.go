package scripts_test

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// manifest is what a manifest of SMF has to say, by the names of its DTD.
type manifest struct {
	Service struct {
		Name         string       `xml:"name,attr"`
		Dependencies []dependency `xml:"dependency"`
		Instances    []struct {
			Name         string       `xml:"name,attr"`
			Enabled      string       `xml:"enabled,attr"`
			Dependencies []dependency `xml:"dependency"`
			Methods      []struct {
				Name       string `xml:"name,attr"`
				Exec       string `xml:"exec,attr"`
				Timeout    string `xml:"timeout_seconds,attr"`
				Credential struct {
					User  string `xml:"user,attr"`
					Limit string `xml:"limit_privileges,attr"`
				} `xml:"method_context>method_credential"`
			} `xml:"exec_method"`
		} `xml:"instance"`
	} `xml:"service"`
}

type dependency struct {
	Grouping string `xml:"grouping,attr"`
	FMRI     struct {
		Value string `xml:"value,attr"`
	} `xml:"service_fmri"`
}

func readManifest(t *testing.T) (m manifest) {
	t.Helper()
	text, err := os.ReadFile("smf/qmail.xml")
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(text, &m); err != nil {
		t.Fatalf("the manifest is not well-formed: %v", err)
	}
	return m
}

func needs(list []dependency, grouping, fmri string) bool {
	return slices.ContainsFunc(list, func(d dependency) bool { return d.Grouping == grouping && d.FMRI.Value == fmri })
}

// The manifest names five instances, each with its methods, what it waits for, and what
// it may do at most; the method knows every word that the manifest calls it with.
func TestManifest(t *testing.T) {
	s := readManifest(t).Service
	if s.Name != "network/qmail" || len(s.Instances) != 5 {
		t.Fatalf("service %s with %d instances", s.Name, len(s.Instances))
	}
	for _, fmri := range []string{"svc:/system/filesystem/local", "svc:/milestone/network", "file://localhost/var/qmail/control/me"} {
		if !needs(s.Dependencies, "require_all", fmri) {
			t.Errorf("it does not wait for %s", fmri)
		}
	}
	method, err := os.ReadFile("smf/qmail")
	if err != nil {
		t.Fatal(err)
	}
	limits := map[string]string{"send start": "zone", "smtpd start": "basic,net_privaddr,proc_setid",
		"submission start": "basic,net_privaddr,proc_setid", "submissions start": "basic,net_privaddr,proc_setid",
		"relay start": "basic,file_dac_search,file_dac_write"}
	for _, i := range s.Instances {
		if i.Enabled != "false" {
			t.Errorf("%s is enabled by being imported", i.Name)
		}
		var names []string
		for _, m := range i.Methods {
			names = append(names, m.Name)
			if !regexp.MustCompile(`^/lib/svc/method/qmail `+m.Name+` `+i.Name+`( %\{restarter/contract\})?$`).MatchString(m.Exec) ||
				strings.Contains(m.Exec, "contract") == (m.Name == "start") {
				t.Errorf("%s of %s is %q", m.Name, i.Name, m.Exec)
			}
			if m.Timeout == "" || m.Timeout == "0" || m.Credential.User != "root" || m.Credential.Limit == "" {
				t.Errorf("%s of %s: %+v", m.Name, i.Name, m)
			}
			if want, ok := limits[i.Name+" "+m.Name]; ok && m.Credential.Limit != want {
				t.Errorf("%s of %s may do %s, want %s", m.Name, i.Name, m.Credential.Limit, want)
			}
			if !strings.Contains(string(method), "\n"+m.Name+")\n") || !strings.Contains(string(method), "\n"+i.Name+") program=") {
				t.Errorf("the method knows nothing of %s %s", m.Name, i.Name)
			}
		}
		if !slices.Contains(names, "start") || !slices.Contains(names, "stop") {
			t.Errorf("%s has the methods %q", i.Name, names)
		}
	}
	if !needs(s.Instances[0].Dependencies, "exclude_all", "svc:/network/smtp:sendmail") {
		t.Error("it runs beside sendmail")
	}
}

// What systemd says of the units, with HOME where their commands are.
func TestUnits(t *testing.T) {
	dest := t.TempDir()
	for _, dir := range []string{"/home", "/etc/systemd/system"} {
		if err := os.MkdirAll(dest+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if said := mustDash(t, "boot", "/home", dest); !strings.Contains(said, "systemctl enable --now qmail qmail-smtpd\n") {
		t.Errorf("boot says %q", said)
	}
	var units []string
	for _, name := range []string{"qmail.service", "qmail-smtpd.service", "qmail-auth.service", "qmail-submission.service", "qmail-submissions.service", "qmail-keys.service", "relay-ctrl.service"} {
		unit := filepath.Join(dest, "etc/systemd/system", name)
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		// Of the mail system's programs one alone is told to end, and it runs set-uid ones.
		mail := name != "relay-ctrl.service" && name != "qmail-auth.service" && name != "qmail-keys.service"
		lines := []string{"Restart=always", "WantedBy=multi-user.target"}
		if mail {
			lines = append(lines, "KillMode=process")
		}
		for _, line := range lines {
			if !strings.Contains(string(text), "\n"+line+"\n") {
				t.Errorf("%s has no %s", name, line)
			}
		}
		if strings.Contains(string(text), "\nNoNewPrivileges=y") && mail {
			t.Errorf("below %s set-uid programs have no effect", name)
		}
		write(t, unit, strings.ReplaceAll(strings.ReplaceAll(string(text), "=/home/doc", "="+dest+"/home/doc"), "=/home/rc", "="+dest+"/home/rc"))
		if name == "qmail-keys.service" {
			write(t, unit, strings.ReplaceAll(string(text), "/home/", dest+"/home/"))
			if err := os.MkdirAll(dest+"/home/bin", 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, dest+"/home/bin/qmail-keys", "")
		}
		units = append(units, unit)
	}
	if out, err := exec.Command("systemd-analyze", append([]string{"verify"}, units...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// Where there is SMF nothing else starts the services.
func TestBootSMF(t *testing.T) {
	dest := t.TempDir()
	for _, dir := range []string{"/opt/qmail", "/etc/init.d", "/etc/rc2.d", "/var/svc/manifest", "/lib/svc/method"} {
		if err := os.MkdirAll(dest+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if said := mustDash(t, "boot", "/opt/qmail", dest); !strings.Contains(said, "svccfg import /var/svc/manifest/site/qmail.xml") {
		t.Errorf("boot says %q", said)
	}
	for name, want := range map[string]bool{"var/svc/manifest/site/qmail.xml": true, "lib/svc/method/qmail": true,
		"opt/qmail/rc.smtpd": true, "opt/qmail/rc.auth": true, "opt/qmail/supervise/qmail-auth/log/run": true, "opt/qmail/rc.relay-ctrl": true, "opt/qmail/supervise/qmail-smtpd/log/run": true,
		"opt/qmail/supervise/qmail-submission/run": true, "opt/qmail/supervise/qmail-keys/run": true, "opt/qmail/supervise/qmail-keys/log/run": true, "opt/qmail/supervise/qmail-submissions/log/run": true, "etc/init.d/qmail": false, "etc/rc2.d/S99qmail": false} {
		text, err := os.ReadFile(filepath.Join(dest, name))
		if (err == nil) != want || strings.Contains(string(text), "/var/qmail") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
