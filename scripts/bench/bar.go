//go:build linux

package main

import "fmt"

// bar is what a figure of Quail's has to reach: so many times another figure of the
// same workload, or a number.
type bar struct {
	work     string
	workload string
	host     string
	figure   metric
	atMost   bool
	factor   float64
	of       string // another host; this one, if the metric is another; or nothing: factor is the number
	metric   metric // of that host, or nothing: the same
}

// bars are those that Quail is to reach on two cores.
var bars = []bar{
	{work: "SMTP in, one connection a message", workload: "fresh", host: "Quail", figure: accepted, factor: 2.5, of: "Postfix"},
	{work: "SMTP in, connections reused", workload: "reused", host: "Quail", figure: accepted, factor: 2, of: "Postfix"},
	{work: "", workload: "reused", host: "Quail", figure: accepted, factor: 1.3, of: "Exim"},
	{work: "SMTP to Maildir, all delivered", workload: "fresh", host: "Quail", figure: delivered, factor: 3, of: "Postfix"},
	{work: "", workload: "fresh", host: "Quail", figure: cpuEach, atMost: true, factor: 0.35, of: "Postfix"},
	{work: "SMTP to remote sink, all delivered", workload: "remote", host: "Quail", figure: delivered, factor: 2.5, of: "Postfix"},
	{work: "one message, 1,000 recipients at one remote domain", workload: "many", host: "Quail", figure: recipients, factor: 1, of: "Exim"},
	{work: "", workload: "many", host: "Quail", figure: transacts, atMost: true, factor: 60},
	{work: "one message, 1,000 local recipients", workload: "local", host: "Quail", figure: recipients, factor: 3, of: "Postfix"},
	{work: "sendmail called 500 times in a row", workload: "sendmail", host: "Quail", figure: callWall, atMost: true, factor: 1, of: "qmail in C"},
	{work: "", workload: "sendmail", host: "Quail", figure: callCPU, atMost: true, factor: 1.3, of: "Quail", metric: startup},
	{work: "memory of an idle SMTP connection", workload: "idle", host: "Quail", figure: kibEach, atMost: true, factor: 8},
	{work: "20,000 deferred messages in the queue", workload: "deferred", host: "Quail" + full, figure: accepted, factor: 0.9, of: "Quail"},
	{work: "", workload: "deferred", host: "Quail" + full, figure: delivered, factor: 0.9, of: "Quail"},
	{work: "1,000 slow or hostile clients", workload: "slow", host: "Quail", figure: molested, atMost: true, factor: 1.1, of: "Quail", metric: calm},
	{work: "SMTP to Maildir on a journaled medium", workload: "disk", host: "Quail", figure: delivered, factor: 2.4, of: "Postfix"},
	{work: "", workload: "counts", host: "Quail", figure: syncsEach, atMost: true, factor: 4},
}

// text is the bar in words.
func (r bar) text() string {
	text := string(r.figure) + ": at least "
	if r.atMost {
		text = string(r.figure) + ": at most "
	}
	switch {
	case r.of == "":
		return text + fmt.Sprintf("%g", r.factor)
	case r.metric != "":
		return text + fmt.Sprintf("%g × %s", r.factor, r.metric)
	}
	return text + fmt.Sprintf("%g × %s", r.factor, r.of)
}

// verdict compares medians: what was measured, and whether it reaches the bar.
func (r bar) verdict(results map[string]*result) (measured, reached string) {
	const not = "not measured"
	w := results[r.workload]
	if w == nil {
		return not, not
	}
	value, ok := w.median(r.host, r.figure)
	if !ok {
		return not, not
	}
	measured = number(value)
	if r.of != "" {
		metric := r.figure
		if r.metric != "" {
			metric = r.metric
		}
		base, ok := w.median(r.of, metric)
		if !ok || base == 0 {
			return measured, not
		}
		measured = fmt.Sprintf("%s to %s: %s ×", measured, number(base), number(value/base))
		value /= base
	}
	if r.atMost && value > r.factor || !r.atMost && value < r.factor {
		return measured, "no"
	}
	return measured, "**yes**"
}
