package showctl

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"quail/internal/ascii"
	"quail/internal/control"
)

func TestDialects(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Dialects {
		if f.From == "" || f.Text == "" || strings.HasSuffix(f.Text, ".") || ascii.Printable(f.Text+f.From, '?') != f.Text+f.From {
			t.Errorf("%s: from %q: %q", f.Names, f.From, f.Text)
		}
		if f.Least > 0 && f.Verdict != Dangerous {
			t.Errorf("%s: from the number %d on it is only %v", f.Names, f.Least, f.Verdict)
		}
		for _, name := range strings.Fields(f.Names) {
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
			if _, err := path.Match(name, ""); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got, ok := FindForeign(strings.ReplaceAll(name, "*", "x")); !ok || got != f {
				t.Errorf("%s is found in the row %s", name, got.Names)
			}
			for _, s := range control.Registry {
				if fits, _ := path.Match(name, s.Name); fits {
					t.Errorf("%s fits %s, which is read", name, s.Name)
				}
			}
		}
	}
	for _, name := range []string{"", "badrcptt", "xbadrcptto", "morercpthosts.tmp", "xldap"} {
		if f, ok := FindForeign(name); ok {
			t.Errorf("%q is found in the row %s", name, f.Names)
		}
	}
}

// What the documents of the patched versions list is known.
func TestKnown(t *testing.T) {
	const sagredo = `authsenders authservid badhelo badhelonorelay badmailfromnorelay badrcptto badrcpttonorelay bouncemaxbytes brtlimit
		cache cachelifetime clientca.pem clientcert.pem clientcrl.pem concurrencysuppl0 concurrencysuppl12 dh4096.pem rsa4096.pem
		dnsblfailclosed dnsbllist domainkeys filterargs maxrcpt moreipme morevalidrcptto morevalidrcptto.cdb notipme notlshosts
		notlshosts_auto outgoingip qfilters rejectnullsenders rejectrelaytest servercerts smtpplugins spfbehavior
		spfexp spfguess spfrules srs_alwaysrewrite srs_domain srs_hashlength srs_hashmin srs_maxage srs_secrets srs_separator
		suppls0 surbldomain surbldomainwhite surblrcpt taps tlsclientciphers tlsclients tlshosts tlsserverciphers validrcptto`
	const sqmail = `authsenders badhelo badmimetypes badloadertypes badrcptto bouncemaxbytes dkimdomains domaincerts domainips
		qmtproutes recipients srsdomains tlsdestinations`
	const indimail = `accesslist authdomains badhost badmailpatterns goodrcptto domainqueue from.envrules rcpt.envrules badext
		badextpatterns badrcptpatterns blackholedsender blackholedrcpt bouncemessage bouncesubject extraqueue holdlocal holdremote
		todointerval bindroutes domainbindings localdomains etrnhosts nodnscheck chkrcptdomains relayclients relaydomains
		relaymailfrom recipients maxrecipients maxhops tarpitcount tarpitdelay timeoutread timeoutwrite certs tlsadomains
		originipfield filterargs globalspamredirect spamfilter spamignore spamredirect rejectspam hostaccess signatures bodycheck
		qregex earlytalkerdroptime signaturedomains nosignaturedomains signkey nosignhosts badmailfrom.sql greylist.white`
	for _, name := range strings.Fields(sagredo + " " + sqmail + " " + indimail) {
		if _, ok := FindForeign(name); !ok {
			t.Errorf("%s is not known", name)
		}
	}
}

// A file that is dangerous to ignore is so only if there is something in it.
func TestForeign(t *testing.T) {
	dir := control.Dir(t.TempDir())
	for name, text := range map[string]string{
		"badrcptto": "a@b\n", "badhelo": "# none\n\n", "spfbehavior": "3\n", "maxrcpt": "0\n", "defaultdelivery": "./Maildir/\n",
		"servercerts": "x\n",
	} {
		if err := os.WriteFile(filepath.Join(string(dir), name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(string(dir), "tlshosts"), 0o755); err != nil {
		t.Fatal(err)
	}
	v := view{dir: dir}
	say := func(name, want string) {
		t.Helper()
		got := v.describeForeign(name)
		if !strings.HasPrefix(got, want) || strings.Index(got, "\n") != len(got)-1 {
			t.Errorf("%s: %q, want %q…", name, got, want)
		}
	}
	say("badrcptto", "DANGEROUS to ignore, and ignored here: recipients that were refused are taken; ")
	say("badhelo", "Ignored here: as it stands nothing is lost by that (s/qmail, ")
	say("spfbehavior", "DANGEROUS to ignore, and ignored here: no SPF check ")
	say("maxrcpt", "Ignored here: as it stands")
	say("tlshosts", "DANGEROUS ")
	say("defaultdelivery", "Understood: the run script passes it to qmail-start (Life with qmail).\n")
	say("servercerts", "Ignored here: certificates are those that tlscerts names")
	say("something", "I have no idea what this file does.\n")
	if err := os.WriteFile(filepath.Join(string(dir), "spfbehavior"), []byte("2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	say("spfbehavior", "Ignored here: as it stands")
}
