package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What stands in run scripts before a server: with our programs, and with daemontools'.

// runPrograms are scripts that say the same whoever's the programs in $A and $B are. Each
// has an empty directory.
var runPrograms = []string{
	`mkdir d; printf 'a \t\nb' >d/A; : >d/B; echo >d/C; printf 'x\0y\r\n' >d/D; printf v >d/E=F; : >d/G=H; echo x >d/.I
		env -i PATH=$PATH B=B C=C E=2 G=1 I=I Z=z $A/envdir d $B/envdir d env | LC_ALL=C sort | od -c`,
	`mkdir -p d/sub; $A/envdir d true; echo $?; $A/envdir absent true; echo $?; $A/envdir d/sub nonexistent; echo $?; $A/envdir d/sub /etc/passwd; echo $?`,
	`mkdir d; echo /nonexistent >d/PATH; ln -s /dev/null d/HOME; mkfifo d/FIFO; FIFO=1 $A/envdir d sh -c 'echo $PATH ${HOME-unset} ${FIFO-unset}; pwd -P' | sed s,$PWD,.,; $A/envdir d $B/envdir d true; echo $?`,
	`mkdir d; : >d/f; $A/envdir d/f true; echo $?; $A/envdir -x true; echo $?; $A/envdir -- true; echo $?`,
	`for p in setuidgid envuidgid softlimit setlock envdir; do $A/$p 2>/dev/null; echo $?; $A/$p nobody 2>/dev/null; test $p = softlimit || echo $?; done`,
	`$A/setuidgid nosuchaccount true; echo $?; $A/setuidgid nobody $B/setuidgid nobody true 2>/dev/null; echo $?; $A/setuidgid nobody nonexistent 2>/dev/null; echo $?`,
	`setpriv --groups 4,5 $A/setuidgid nobody sh -c 'id; exit 3'; echo $?; $A/setuidgid root id; echo $?`,
	`$A/envuidgid nosuchaccount true; echo $?; UID=5 GID=6 $A/envuidgid nobody $B/envuidgid daemon sh -c 'echo $UID $GID; id -u'; $A/envuidgid -v nobody true; echo $?`,
	`for l in a c d f l m p r s; do $A/softlimit -${l}200000000 sh -c 'ulimit -Sa; ulimit -Ha'; $A/softlimit -$l 210000000 $B/softlimit -$l= sh -c 'ulimit -Sa'; done`,
	`$A/softlimit -c0 -o 10 -o 20 -t 7 $B/softlimit -m 300000000 -a 400000000 -t = sh -c 'ulimit -Sa; ulimit -Ha'`,
	`(ulimit -Hn 100; exec $A/softlimit -o 200 $B/softlimit -c 99999999999999999 sh -c 'ulimit -Sa; ulimit -Ha'); $A/softlimit -o x true 2>/dev/null; echo $?; $A/softlimit -o 10 nonexistent; echo $?`,
	`$A/softlimit -f 1000 sh -c 'trap "" XFSZ; head -c 5000 /dev/zero >big' 2>/dev/null; wc -c <big; $A/softlimit -- echo -m 1`,
	`$A/setlock l $B/setlock -n l true; echo $?; $A/setlock l $B/setlock -nx l true; echo $?; $A/setlock l $B/setlock -nxX l true; echo $?; stat -c %a,%s l`,
	`echo keep >l; $A/setlock l $B/setlock m sh -c 'ls -l /proc/self/fd/3 /proc/self/fd/4' | sed 's,.* -> .*/,,'; cat l`,
	`mkfifo go; $A/setlock l cat go & until ! setlock -nx l echo free | grep -q free; do :; done; $B/setlock -n l true; echo $?; ($B/setlock -nN l echo waited) & echo >go; wait`,
	`$A/setlock no/l true; echo $?; $A/setlock -x no/l true; echo $?; $A/setlock -x l nonexistent; echo $?; $A/setlock . true; echo $?; mkfifo f; $A/setlock f true; echo $?; $A/setlock -nz l true 2>/dev/null; echo $?`,
	`mkdir d; echo 7 >d/N; exec $A/envdir d $B/setuidgid nobody $A/softlimit -o 50 $B/argv0 sh -sh -c 'echo $0 $N; id; ulimit -Sn'`,
}

func TestOtherRunPrograms(t *testing.T) {
	other, ok := tool(t, "envdir")
	if !ok || !asRoot(t, "the programs become others") {
		return
	}
	s := install(t)
	theirs := s.path("theirs") // where everybody can read it
	s.mkdir("theirs", 0o755, 0, 0)
	for _, p := range []string{"envdir", "envuidgid", "setuidgid", "softlimit", "setlock"} {
		if err := os.Symlink(filepath.Join(filepath.Dir(other), p), filepath.Join(theirs, p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(s.path("bin/argv0"), filepath.Join(theirs, "argv0")); err != nil {
		t.Fatal(err)
	}
	dirs := map[string]string{"ours": s.path("bin"), "theirs": theirs}
	for _, script := range runPrograms {
		answers := map[string]string{}
		for a, dirA := range dirs {
			for b, dirB := range dirs {
				cmd := exec.Command("sh", "-c", "cd $DIR && "+script)
				dir, err := os.MkdirTemp(*work, "run")
				if err != nil {
					t.Fatal(err)
				}
				defer os.RemoveAll(dir)
				cmd.Env = []string{"PATH=" + theirs + ":/usr/bin:/bin", "HOME=/", "A=" + dirA, "B=" + dirB, "DIR=" + dir}
				out, _ := cmd.CombinedOutput()
				answers[string(out)] += fmt.Sprintf(" A=%s, B=%s;", a, b)
			}
		}
		if len(answers) != 1 {
			t.Errorf("%s\nis not the same with all:", script)
			for out, whose := range answers {
				t.Errorf("with%s\n%s", whose, out)
			}
		}
	}
}

// guides are run scripts as they stand in instructions for qmail, but for where its home
// is, for $PORT and for addresses of clients. $SMTPD and what is behind it is the server.
var guides = []struct {
	name, script string
	cold         string // why its sessions have a process each
}{
	{name: "Life with qmail", script: `
QMAILDUID=$(id -u qmaild)
NOFILESGID=$(id -g qmaild)
MAXSMTPD=$(cat control/concurrencyincoming)
LOCAL=$(head -1 control/me)
exec softlimit -m 30000000 \
    tcpserver -v -R -l "$LOCAL" -x tcp.smtp.cdb -c "$MAXSMTPD" \
        -u "$QMAILDUID" -g "$NOFILESGID" 127.0.0.1 $PORT qmail-smtpd 2>&1`},
	{name: "less memory than a program has bytes", script: `
exec softlimit -m 2000000 tcpserver -vRH -l0 -x tcp.smtp.cdb -u $(id -u qmaild) -g $(id -g qmaild) 127.0.0.1 $PORT qmail-smtpd 2>&1`},
	{name: "who to be in the environment", script: `
exec envuidgid qmaild softlimit -a 9000000 -d 9000000 tcpserver -vRHU -l0 -x tcp.smtp.cdb 127.0.0.1 $PORT rblsmtpd qmail-smtpd 2>&1`},
	{name: "somebody else from the start", script: `
exec envdir ./env setlock lock setuidgid qmaild tcpserver -vRH -l0 -x tcp.smtp.cdb 127.0.0.1 $PORT qmail-smtpd 2>&1`},
	{name: "in the middle", cold: "envdir runs once a connection", script: `
exec setlock lock tcpserver -vRH -l0 -x tcp.smtp.cdb -u $(id -u qmaild) -g $(id -g qmaild) 127.0.0.1 $PORT \
    envdir ./env softlimit -m 3000000 qmail-smtpd 2>&1`},
}

// The run scripts of guides serve with our programs in the place of daemontools', by the
// rules that they name, and their limits reach the programs of users.
func TestGuides(t *testing.T) {
	if !asRoot(t, "servers change their user") {
		return
	}
	s := install(t)
	s.control("concurrencyincoming", "20\n")
	s.compileRules("tcp.smtp", "127.0.0.0/30:allow\n:deny\n")
	s.mkdir("env", 0o755, 0, 0)
	s.write("env/DATABYTES", "5000 \n")
	s.start()
	taken := 0
	for _, guide := range guides {
		if guide.cold != "" {
			s.excuse(foreign, guide.cold)
		}
		port := freePort(t)
		s.write("service", "#!/bin/sh\ncd "+home+"\n"+guide.script+"\n")
		if err := os.Chmod(s.path("service"), 0o755); err != nil {
			t.Fatal(err)
		}
		p := s.spawn(s.log, []string{fmt.Sprintf("PORT=%d", port)}, "service")
		s.begins("tcpserver")
		eventually(t, guide.name, func() bool { return listens(port) })
		if err := submit(t, "127.0.0.2", port, "", "joe@"+me, "Subject: "+guide.name+"\n\n"); err != nil {
			t.Errorf("%s: %v", guide.name, err)
		}
		taken++
		s.settled(taken)
		find(t, s.mail("u/joe/Maildir"), "\nSubject: "+guide.name+"\n")
		if err := submit(t, "127.0.0.4", port, "", "joe@"+me, "\n"); err == nil {
			t.Errorf("%s: a client that is denied was served", guide.name)
		}
		err := submit(t, "127.0.0.2", port, "", "joe@"+me, strings.Repeat("x\n", 4000))
		if strings.Contains(guide.script, "envdir") != (err != nil) {
			t.Errorf("%s: a message above the limit in ./env: %v", guide.name, err)
		}
		if err == nil {
			taken++
			s.settled(taken)
		}
		p.stop()
	}
}
