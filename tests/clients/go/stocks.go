package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type place struct {
	partition int32
	offset    int64
}

// stocks publishes prices by symbol to a topic that nobody created and reads them back field by field.
func stocks(ctx context.Context, b bench, csv string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text, err := os.ReadFile(csv)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")[1:]
	if len(lines) < 500 {
		return fmt.Errorf("%s has only %d rows", csv, len(lines))
	}
	topic := b.name("stocks")
	start := time.UnixMilli(946_684_800_000)

	producer, err := b.client(kgo.AllowAutoTopicCreation())
	if err != nil {
		return err
	}
	defer producer.Close()
	var records []*kgo.Record
	for row, line := range lines {
		symbol, _, _ := strings.Cut(line, ",")
		records = append(records, &kgo.Record{
			Topic:     topic,
			Key:       []byte(symbol),
			Value:     []byte(line),
			Timestamp: start.Add(time.Duration(row) * time.Second),
			Headers: []kgo.RecordHeader{
				{Key: "source", Value: []byte("vega-datasets")},
				{Key: "row", Value: []byte(strconv.Itoa(row))},
				{Key: "nothing", Value: nil},
			},
		})
	}
	missing := map[place]int{}
	for row, result := range producer.ProduceSync(ctx, records...) {
		if result.Err != nil {
			return fmt.Errorf("row %d was not acknowledged: %w", row, result.Err)
		}
		at := place{result.Record.Partition, result.Record.Offset}
		if earlier, taken := missing[at]; taken {
			return fmt.Errorf("rows %d and %d were both acknowledged at %v", earlier, row, at)
		}
		missing[at] = row
	}

	ends, err := kadm.NewClient(producer).ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	written := map[int32]int64{}
	for at := range missing {
		written[at.partition]++
	}
	for _, end := range ends.Offsets().Sorted() {
		if err := same(fmt.Sprintf("end of partition %d", end.Partition), end.At, written[end.Partition]); err != nil {
			return err
		}
	}

	consumer, err := b.client(kgo.ConsumeTopics(topic))
	if err != nil {
		return err
	}
	defer consumer.Close()
	last := map[string]int{}
	for len(missing) > 0 {
		fetches := consumer.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("%d records never arrived: %w", len(missing), errs[0].Err)
		}
		for _, record := range fetches.Records() {
			at := place{record.Partition, record.Offset}
			row, known := missing[at]
			if !known {
				return fmt.Errorf("nobody wrote a record at %v, or it came twice", at)
			}
			delete(missing, at)
			sent := records[row]
			for _, err := range []error{
				same("key", string(record.Key), string(sent.Key)),
				same("value", string(record.Value), string(sent.Value)),
				same("timestamp", record.Timestamp.UnixMilli(), sent.Timestamp.UnixMilli()),
				same("headers", record.Headers, sent.Headers),
			} {
				if err != nil {
					return err
				}
			}
			if earlier, seen := last[string(record.Key)]; seen && earlier >= row {
				return fmt.Errorf("%s: row %d came after row %d", record.Key, row, earlier)
			}
			last[string(record.Key)] = row
		}
	}
	return nil
}
