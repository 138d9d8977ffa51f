package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"
)

// publish sends the lines of a file, key<TAB>value, and waits for every acknowledgement.
func publish(ctx context.Context, b bench, topic, file string) error {
	source, err := os.Open(file)
	if err != nil {
		return err
	}
	defer source.Close()
	client, err := b.client(kgo.DefaultProduceTopic(topic))
	if err != nil {
		return err
	}
	defer client.Close()
	var once sync.Once
	var refused error
	published := 0
	lines := bufio.NewScanner(source)
	for lines.Scan() {
		key, value, found := bytes.Cut(bytes.Clone(lines.Bytes()), []byte("\t"))
		if !found {
			return fmt.Errorf("a line without a tab: %q", lines.Text())
		}
		client.Produce(ctx, &kgo.Record{Key: key, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { refused = err })
			}
		})
		published++
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	fmt.Println("published", published)
	return nil
}

// member is one member of a consumer group with everything at its default: it prints what it reads until it
// is told to stop.
func member(ctx context.Context, b bench, topic, group string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	client, err := b.client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic))
	if err != nil {
		return err
	}
	// Leaves the group, but commits nothing by itself: what was polled last is committed below.
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		out := bufio.NewWriter(os.Stdout)
		fetches.EachRecord(func(record *kgo.Record) {
			fmt.Fprintf(out, "record %d %d %s\n", record.Partition, record.Offset, record.Key)
		})
		if err := out.Flush(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return client.CommitUncommittedOffsets(context.Background())
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
	}
}

// take joins a group, takes exactly count records, commits them, leaves, and prints where each was.
func take(ctx context.Context, b bench, topic, group, count string) error {
	left, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := b.client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit())
	if err != nil {
		return err
	}
	defer client.Close()
	out := bufio.NewWriter(os.Stdout)
	for left > 0 {
		fetches := client.PollRecords(ctx, left)
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("%d records never arrived: %w", left, errs[0].Err)
		}
		for _, record := range fetches.Records() {
			fmt.Fprintf(out, "%d %d\n", record.Partition, record.Offset)
			left--
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	return out.Flush()
}
