// One scenario per run: go-client BOOTSTRAP PREFIX SCENARIO [ARGUMENT...].
//
// Everything a scenario creates is named after PREFIX. Exit code 0 means that every check held; otherwise the
// last line on standard error names the first that did not. Client settings stay at their defaults, but for
// what a scenario is about.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The longest any single answer may take before the scenario calls it missing.
const patience = 30 * time.Second

// bench is what a scenario needs to know about where it runs.
type bench struct {
	bootstrap, prefix string
}

func (b bench) client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.bootstrap)}, options...)...)
}

func (b bench) name(suffix string) string { return b.prefix + "-" + suffix }

// same fails unless both sides are equal, naming what was compared.
func same(what string, found, expected any) error {
	if reflect.DeepEqual(found, expected) {
		return nil
	}
	return fmt.Errorf("%s: found %#v, expected %#v", what, found, expected)
}

func run(ctx context.Context, b bench, scenario string, rest []string) error {
	switch {
	case scenario == "stocks" && len(rest) == 1:
		return stocks(ctx, b, rest[0])
	case scenario == "resume" && len(rest) == 0:
		return resume(ctx, b)
	case scenario == "admin" && len(rest) == 0:
		return admin(ctx, b)
	case scenario == "create" && len(rest) == 2:
		return create(ctx, b, rest[0], rest[1])
	case scenario == "publish" && len(rest) == 2:
		return publish(ctx, b, rest[0], rest[1])
	case scenario == "member" && len(rest) == 2:
		return member(ctx, b, rest[0], rest[1])
	case scenario == "take" && len(rest) == 3:
		return take(ctx, b, rest[0], rest[1], rest[2])
	case scenario == "summary" && len(rest) == 2:
		return summary(ctx, b, rest[0], rest[1])
	}
	return fmt.Errorf("no scenario %s with arguments %q", scenario, rest)
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: go-client BOOTSTRAP PREFIX SCENARIO [ARGUMENT...]")
		os.Exit(2)
	}
	b := bench{bootstrap: os.Args[1], prefix: os.Args[2]}
	if err := run(context.Background(), b, os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[3], err)
		os.Exit(1)
	}
}
