package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"os"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// airport is what the flights that leave one airport add up to.
type airport struct {
	Flights  int64  `json:"flights"`
	Delay    int64  `json:"delay"`
	Distance int64  `json:"distance"`
	Hash     string `json:"hash"`

	values    hash.Hash
	partition int32
}

// summary reads count flights of a topic and prints, as JSON, what they add up to by airport. The hash is one
// over the values in the order in which they were read, so that it also shows a change of order.
func summary(ctx context.Context, b bench, topic, count string) error {
	missing, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		return err
	}
	client, err := b.client(kgo.ConsumeTopics(topic))
	if err != nil {
		return err
	}
	defer client.Close()
	airports := map[string]*airport{}
	next := map[int32]int64{}
	for missing > 0 {
		waiting, cancel := context.WithTimeout(ctx, patience)
		fetches := client.PollFetches(waiting)
		cancel()
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("%d records never arrived: %w", missing, errs[0].Err)
		}
		for records := fetches.RecordIter(); !records.Done(); missing-- {
			record := records.Next()
			if record.Offset != next[record.Partition] {
				return fmt.Errorf("partition %d: offset %d, expected %d", record.Partition, record.Offset, next[record.Partition])
			}
			next[record.Partition]++
			var flight struct{ Delay, Distance int64 }
			if err := json.Unmarshal(record.Value, &flight); err != nil {
				return fmt.Errorf("offset %d of partition %d: %w", record.Offset, record.Partition, err)
			}
			from := airports[string(record.Key)]
			if from == nil {
				from = &airport{values: sha256.New(), partition: record.Partition}
				airports[string(record.Key)] = from
			}
			if from.partition != record.Partition {
				return fmt.Errorf("%s is in partitions %d and %d", record.Key, from.partition, record.Partition)
			}
			from.Flights++
			from.Delay += flight.Delay
			from.Distance += flight.Distance
			from.values.Write(record.Value)
		}
	}
	if missing < 0 {
		return fmt.Errorf("%d records more than were published", -missing)
	}
	for _, from := range airports {
		from.Hash = hex.EncodeToString(from.values.Sum(nil))
	}
	return json.NewEncoder(os.Stdout).Encode(airports)
}
