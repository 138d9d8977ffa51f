package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	resumeRecords = 300
	firstShare    = 100
)

// resume has a consumer commit part of a topic and leave; the next one of its group goes on exactly there.
func resume(ctx context.Context, b bench) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	topic, group := b.name("resume"), b.name("resume-group")
	if err := create(ctx, b, topic, "3"); err != nil {
		return err
	}
	producer, err := b.client(kgo.DefaultProduceTopic(topic))
	if err != nil {
		return err
	}
	defer producer.Close()
	for n := range resumeRecords {
		value := fmt.Appendf(nil, "value %d", n)
		producer.Produce(ctx, &kgo.Record{Key: value, Value: value}, nil)
	}
	if err := producer.Flush(ctx); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, share := range []int{firstShare, resumeRecords - firstShare} {
		if err := readShare(ctx, b, topic, group, share, seen); err != nil {
			return err
		}
	}
	if err := same("different values read", len(seen), resumeRecords); err != nil {
		return err
	}
	lags, err := kadm.NewClient(producer).Lag(ctx, group)
	if err != nil {
		return err
	}
	return same("lag of the group", lags[group].Lag.Total(), int64(0))
}

// readShare joins the group, takes count records that nobody has seen, commits them and leaves.
func readShare(ctx context.Context, b bench, topic, group string, count int, seen map[string]bool) error {
	consumer, err := b.client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit())
	if err != nil {
		return err
	}
	defer consumer.Close()
	for taken := 0; taken < count; {
		fetches := consumer.PollRecords(ctx, count-taken)
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("record %d of %d did not arrive: %w", taken, count, errs[0].Err)
		}
		records := fetches.Records()
		for _, record := range records {
			value := string(record.Value)
			if seen[value] {
				return fmt.Errorf("%q was read twice in spite of its commit", value)
			}
			seen[value] = true
		}
		if err := consumer.CommitRecords(ctx, records...); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		taken += len(records)
	}
	return nil
}
