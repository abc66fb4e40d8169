# testlines.awk: what of `go test -v` is worth reading: a line for each package, all
# that a test says that fails or does not end, and in the end the names of those, with
# the beginning of what they said, and the tests that took longest.

/^=== RUN / && $3 !~ /\// { test = $3; n = 0; next }
/^=== / || /^ +--- (PASS|SKIP): / { next }
/^--- (PASS|SKIP): / {
	seconds = substr($4, 2) + 0
	if (seconds >= 20) slow = slow sprintf("  %7.2f s  %s\n", seconds, $3)
	test = ""
	next
}
/^--- FAIL: / {
	failed = failed "  " $3 "\n" beginning()
	show()
	print
	test = ""
	next
}
/^panic: / && test != "" {
	failed = failed "  " test " (the last one before " $0 ")\n"
	show()
	test = ""
	lines = 400
}
/^(ok|FAIL)\t/ {
	if (test != "") {
		failed = failed "  " test " (the last one before " $0 ")\n"
		show()
		test = ""
	}
	lines = 0
	print
	fflush()
	next
}
/^(PASS|FAIL|exit status.*)$/ || /^\?/ { next }
lines > 0 { print; if (--lines == 0) lines = -1; next }
lines < 0 { next } # the rest of a long dump
test != "" { if (n < 400) said[n++] = $0; next }
{ print }

function beginning(i, all, lines) {
	for (i = 0; i < n && lines < 6; i++)
		if (said[i] ~ /^ *[a-z0-9_]+\.go:[0-9]+: ./) {
			all = all "  " substr(said[i], 1, 400) "\n"
			lines++
		}
	return all
}

function show(i) {
	for (i = 0; i < n; i++) print said[i]
	n = 0
}

END {
	if (slow != "") printf "the longest:\n%s", slow
	if (failed != "") printf "FAILED:\n%s", failed
}
