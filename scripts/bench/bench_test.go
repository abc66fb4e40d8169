//go:build linux

package main

import "testing"

func TestCountLine(t *testing.T) {
	for _, c := range []struct {
		line string
		want counted
	}{
		{"17 fsync(4)                           = 0\n", counted{syncs: 1}},
		{"17 fdatasync(4 <unfinished ...>\n", counted{syncs: 1}},
		{"17 <... fdatasync resumed>)             = 0\n", counted{}},
		{"17 syncfs(4)                          = -1 EIO (Input/output error)\n", counted{syncs: 1}},
		{`17 openat(AT_FDCWD, "log", O_WRONLY|O_DSYNC) = 3` + "\n", counted{syncs: 1}},
		{`17 openat(AT_FDCWD, "O_SYNCED", O_RDONLY) = 3` + "\n", counted{}},
		{"17 clone(child_stack=0xc000012000, flags=CLONE_VM|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM) = 18\n", counted{}},
		{"17 clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88) = 18\n", counted{forks: 1}},
		{"17 vfork( <unfinished ...>\n", counted{forks: 1}},
		{"17 --- SIGCHLD {si_signo=SIGCHLD} ---\n", counted{}},
		{"17 +++ exited with 0 +++\n", counted{}},
	} {
		if got := countLine(c.line); got != c.want {
			t.Errorf("countLine(%q) = %+v, want %+v", c.line, got, c.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	results := map[string]*result{"w": {rounds: map[string][]figures{
		"Quail":   {{accepted: 1, kibEach: 7}, {accepted: 30, kibEach: 9}, {accepted: 20, kibEach: 8}},
		"Postfix": {{accepted: 10}, {accepted: 11}},
	}}}
	for _, c := range []struct {
		bar               bar
		measured, reached string
	}{
		{bar{workload: "w", host: "Quail", figure: accepted, factor: 1.9, of: "Postfix"}, "20.0 to 10.5: 1.90 ×", "**yes**"},
		{bar{workload: "w", host: "Quail", figure: accepted, factor: 2, of: "Postfix"}, "20.0 to 10.5: 1.90 ×", "no"},
		{bar{workload: "w", host: "Quail", figure: accepted, factor: 2, of: "Exim"}, "20.0", "not measured"},
		{bar{workload: "w", host: "Quail", figure: kibEach, atMost: true, factor: 8}, "8.00", "**yes**"},
		{bar{workload: "w", host: "Quail", figure: kibEach, atMost: true, factor: 7.9}, "8.00", "no"},
		{bar{workload: "w", host: "Quail", figure: accepted, factor: 2.5, of: "Quail", metric: kibEach}, "20.0 to 8.00: 2.50 ×", "**yes**"},
		{bar{workload: "w", host: "Quail", figure: syncsEach, atMost: true, factor: 4}, "not measured", "not measured"},
		{bar{workload: "other", host: "Quail", figure: accepted, factor: 1}, "not measured", "not measured"},
	} {
		measured, reached := c.bar.verdict(results)
		if measured != c.measured || reached != c.reached {
			t.Errorf("%+v: %q, %q; want %q, %q", c.bar, measured, reached, c.measured, c.reached)
		}
	}
}

// A bar about figures that no workload shows would never be measured.
func TestBars(t *testing.T) {
	shown := map[string]map[metric]bool{}
	for _, w := range workloads {
		shown[w.name] = map[metric]bool{}
		for _, c := range w.columns {
			shown[w.name][c] = true
		}
	}
	for _, r := range bars {
		if !shown[r.workload][r.figure] || r.metric != "" && !shown[r.workload][r.metric] {
			t.Errorf("%s: %s: the workload has no such figure", r.workload, r.text())
		}
	}
}

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		line    string
		name    string
		seconds float64
		ok      bool
	}{
		{"17 (qmail-smtpd) S 1 17 17 0 -1 4194304 1 2 3 4 150 50 7 8 20 0 9", "qmail-smtpd", 2, true},
		{"17 (a) (b) S 1 17 17 0 -1 4194304 1 2 3 4 1 0 7 8 20 0 9", "a) (b", 0.01, true},
		{"17 (short) S 1 17", "", 0, false},
		{"17 (odd) S 1 17 17 0 -1 4194304 1 2 3 4 x y 7 8 20 0 9", "", 0, false},
		{")(", "", 0, false},
		{"", "", 0, false},
	} {
		if name, seconds, ok := parseStat(c.line); name != c.name || seconds != c.seconds || ok != c.ok {
			t.Errorf("parseStat(%q) = %q, %v, %v", c.line, name, seconds, ok)
		}
	}
}
