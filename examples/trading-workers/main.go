// A consumer group of four workers that read trading events in batches of up to 1,000, with auto-commit:
//
//	trading-workers BOOTSTRAP [-group NAME] [-until RECORDS]
//
// It stops on SIGTERM or ctrl-c, or once it has read as many records as -until says. Then it prints a line per topic
// and worker, and a closing line with the number of records, of batches, and the largest batch.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	workers      = 4
	batchRecords = 1000
)

var topics = []string{"trading.events", "market.data", "order.events", "user.actions"}

// tally is what one worker has read.
type tally struct {
	records map[string]int64
	bytes   map[string]int64
	batches int64
	largest int
	// repeated counts records whose offset was not above the one before in their partition.
	repeated int64
}

func main() {
	group := flag.String("group", "trading-workers", "consumer group")
	until := flag.Int64("until", 0, "stop after this many records; 0: run until told to stop")
	if len(os.Args) < 2 {
		log.Fatal("usage: trading-workers BOOTSTRAP [-group NAME] [-until RECORDS]")
	}
	bootstrap := os.Args[1]
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	var total atomic.Int64
	tallies := make([]tally, workers)
	failures := make([]error, workers)
	var running sync.WaitGroup
	for n := range workers {
		running.Go(func() {
			tallies[n], failures[n] = work(ctx, bootstrap, *group, func(batch int) {
				if count := total.Add(int64(batch)); *until > 0 && count >= *until {
					stop()
				}
			})
		})
	}
	running.Wait()
	report(tallies)
	if err := errors.Join(failures...); err != nil {
		log.Fatal(err)
	}
}

// work reads until the context ends, as one member of the group.
func work(ctx context.Context, bootstrap, group string, done func(batch int)) (tally, error) {
	seen := tally{records: map[string]int64{}, bytes: map[string]int64{}}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topics...),
	)
	if err != nil {
		return seen, err
	}
	// Commits nothing by itself, but leaves the group, so that nobody waits for this member's session to end.
	defer client.Close()
	type partition struct {
		topic  string
		number int32
	}
	last := map[partition]int64{}
	for {
		fetches := client.PollRecords(ctx, batchRecords)
		batch := 0
		fetches.EachRecord(func(record *kgo.Record) {
			batch++
			seen.records[record.Topic]++
			seen.bytes[record.Topic] += int64(len(record.Value))
			at := partition{record.Topic, record.Partition}
			if before, known := last[at]; known && record.Offset <= before {
				seen.repeated++
			}
			last[at] = record.Offset
		})
		if batch > 0 {
			seen.batches++
			seen.largest = max(seen.largest, batch)
			done(batch)
		}
		if ctx.Err() != nil {
			// What the polls returned is handled: its commit must not wait for the next automatic one.
			return seen, client.CommitUncommittedOffsets(context.Background())
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return seen, fmt.Errorf("%s/%d: %w", errs[0].Topic, errs[0].Partition, errs[0].Err)
		}
	}
}

func report(tallies []tally) {
	var records, batches, repeated int64
	largest := 0
	for n, seen := range tallies {
		var names []string
		for topic := range seen.records {
			names = append(names, topic)
		}
		sort.Strings(names)
		for _, topic := range names {
			fmt.Printf("worker %d topic %s records %d bytes %d\n", n, topic, seen.records[topic], seen.bytes[topic])
			records += seen.records[topic]
		}
		batches += seen.batches
		repeated += seen.repeated
		largest = max(largest, seen.largest)
	}
	fmt.Printf("records %d batches %d largest %d repeated %d\n", records, batches, largest, repeated)
}
