package qctl

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"quail/internal/order"
	"quail/internal/prog"
	"quail/internal/queue"
)

// command is what the command line asks for.
type command struct {
	order.Order
	json bool
}

const usage = "qmail-qctl list|show|requeue|expire|delete|hold|release [ --json ] [ --dry-run ] " +
	"[ --sender glob ] [ --recipient glob ] [ --older age ] [ --younger age ] [ --all ] [ number ... ]"

// parse reads the command line.
func parse(args []string) (c command, err error) {
	flags := pflag.NewFlagSet("qmail-qctl", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	sender := flags.String("sender", "", "")
	recipient := flags.String("recipient", "", "")
	flags.Var((*age)(&c.Older), "older", "")
	flags.Var((*age)(&c.Younger), "younger", "")
	flags.BoolVar(&c.All, "all", false, "")
	flags.BoolVar(&c.DryRun, "dry-run", false, "")
	flags.BoolVar(&c.json, "json", false, "")
	if err := flags.Parse(args); err == pflag.ErrHelp {
		return c, prog.Usage(usage)
	} else if err != nil {
		return c, prog.Perm(err)
	}
	if flags.Changed("sender") {
		c.Sender = sender
	}
	if flags.Changed("recipient") {
		c.Recipient = recipient
	}
	words := flags.Args()
	if len(words) == 0 || !slices.Contains(order.Verbs, order.Verb(words[0])) {
		return c, prog.Usage(usage)
	}
	c.Verb = order.Verb(words[0])
	for _, word := range words[1:] {
		id, ok := queue.ParseID(strings.TrimPrefix(word, "#")) // qmail-qread prints it so
		if !ok || word == "" || word == "#" {
			return c, prog.Perm(fmt.Errorf("%q is not a message number", word))
		}
		c.IDs = append(c.IDs, uint64(id))
	}
	switch {
	case c.All && (len(c.IDs) > 0 || (order.Order{Sender: c.Sender, Recipient: c.Recipient, Older: c.Older, Younger: c.Younger}).Selects()):
		return c, prog.Perm(fmt.Errorf("--all goes with no other choice of messages"))
	case c.Verb != order.List && !c.Selects():
		return c, prog.Perm(fmt.Errorf("%s which messages? By numbers, --sender, --recipient, --older, --younger or --all", c.Verb))
	}
	return c, nil
}

// age is a number of seconds, given with a unit.
type age int64

var units = map[byte]int64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 7 * 86400}

// Set reads an age.
func (a *age) Set(text string) error {
	if text == "" || units[text[len(text)-1]] == 0 {
		return fmt.Errorf("an age is a number and s, m, h, d or w")
	}
	unit := units[text[len(text)-1]]
	n, err := strconv.ParseInt(text[:len(text)-1], 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return fmt.Errorf("an age is a number and s, m, h, d or w")
	}
	*a = age(n * unit)
	return nil
}

// String is what pflag asks for.
func (a *age) String() string { return strconv.FormatInt(int64(*a), 10) + "s" }

// Type is what pflag asks for.
func (a *age) Type() string { return "age" }
