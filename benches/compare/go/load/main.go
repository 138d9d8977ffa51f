// Load drives a broker with many franz-go clients in one process: what one command-line client cannot.
//
//	load publishers   -clients 1000 -each 100      each sends a record and waits for its acknowledgement
//	load transactions -clients 1 -each 100 -size N transactions of N records
//	load group        -clients 100                 members join a group; then one leaves
//	load fanout       -clients 100 -each 100000    each reads the partition from its start
//	load keyed        -each 1000000 -keys 100000   records with keys taken in turn
//
// It prints one line of JSON: seconds, messages, and the sorted latencies that were measured, in microseconds.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	broker  = flag.String("broker", "127.0.0.1:9092", "address")
	topic   = flag.String("topic", "load", "topic")
	clients = flag.Int("clients", 1, "clients")
	each    = flag.Int("each", 100, "records or transactions of each client")
	size    = flag.Int("size", 10, "records in a transaction")
	value   = flag.Int("bytes", 100, "bytes of a record's value")
	keys    = flag.Int("keys", 100000, "different keys")
	limit   = flag.Duration("limit", 60*time.Second, "when to give up")
)

type result struct {
	Seconds   float64            `json:"seconds"`
	Messages  int64              `json:"messages"`
	Latencies []int64            `json:"latencies_us,omitempty"`
	More      map[string]float64 `json:"more,omitempty"`
}

func main() {
	what := os.Args[1]
	flag.CommandLine.Parse(os.Args[2:])
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	work := map[string]func(context.Context) (result, error){
		"publishers": publishers, "transactions": transactions, "group": group, "fanout": fanout, "keyed": keyed,
	}[what]
	if work == nil {
		fail(fmt.Errorf("there is no %q", what))
	}
	found, err := work(ctx)
	if err != nil {
		fail(err)
	}
	slices.Sort(found.Latencies)
	json.NewEncoder(os.Stdout).Encode(found)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}

func connect(more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(*broker), kgo.DefaultProduceTopic(*topic)}, more...)...)
}

// Runs one function per client at once and collects what each measured.
func together(ctx context.Context, work func(context.Context, int) ([]int64, error)) ([]int64, error) {
	var lock sync.Mutex
	var all []int64
	var first error
	var wait sync.WaitGroup
	for n := range *clients {
		wait.Add(1)
		go func() {
			defer wait.Done()
			took, err := work(ctx, n)
			lock.Lock()
			defer lock.Unlock()
			all = append(all, took...)
			if first == nil {
				first = err
			}
		}()
	}
	wait.Wait()
	return all, first
}

func publishers(ctx context.Context) (result, error) {
	all := make([]*kgo.Client, *clients)
	for n := range all {
		client, err := connect(kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			return result{}, err
		}
		defer client.Close()
		all[n] = client
	}
	record := func() *kgo.Record { return &kgo.Record{Value: make([]byte, *value)} }
	// Connections are made before the clock starts.
	if _, err := together(ctx, func(ctx context.Context, n int) ([]int64, error) {
		return nil, all[n].ProduceSync(ctx, record()).FirstErr()
	}); err != nil {
		return result{}, err
	}
	began := time.Now()
	took, err := together(ctx, func(ctx context.Context, n int) ([]int64, error) {
		took := make([]int64, 0, *each)
		for range *each {
			sent := time.Now()
			if err := all[n].ProduceSync(ctx, record()).FirstErr(); err != nil {
				return nil, err
			}
			took = append(took, time.Since(sent).Microseconds())
		}
		return took, nil
	})
	return result{time.Since(began).Seconds(), int64(len(took)), took, nil}, err
}

func transactions(ctx context.Context) (result, error) {
	began := time.Now()
	took, err := together(ctx, func(ctx context.Context, n int) ([]int64, error) {
		client, err := connect(
			kgo.TransactionalID(fmt.Sprintf("%s-%d", *topic, n)), kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		)
		if err != nil {
			return nil, err
		}
		defer client.Close()
		var took []int64
		for at := range *each + 1 {
			sent := time.Now()
			if err := client.BeginTransaction(); err != nil {
				return nil, err
			}
			for range *size {
				client.Produce(ctx, &kgo.Record{Value: make([]byte, *value)}, nil)
			}
			if err := client.Flush(ctx); err != nil {
				return nil, err
			}
			if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
				return nil, err
			}
			if at > 0 { // The first finds its coordinator.
				took = append(took, time.Since(sent).Microseconds())
			}
		}
		return took, nil
	})
	return result{time.Since(began).Seconds(), int64(len(took) * *size), took, nil}, err
}

func group(ctx context.Context) (result, error) {
	var assigned, members atomic.Int64
	owned := make([]atomic.Int64, *clients)
	join := func(n int) (*kgo.Client, error) {
		return connect(
			kgo.ConsumerGroup(*topic), kgo.ConsumeTopics(*topic), kgo.Balancers(kgo.RangeBalancer()), kgo.DisableAutoCommit(),
			kgo.RebalanceTimeout(30*time.Second), kgo.SessionTimeout(30*time.Second), kgo.HeartbeatInterval(500*time.Millisecond),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
				count := int64(len(got[*topic]))
				if count > 0 && owned[n].Swap(count) == 0 {
					members.Add(1)
				}
				assigned.Add(count)
			}),
			kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
				count := int64(len(lost[*topic]))
				if count > 0 && owned[n].Swap(0) != 0 {
					members.Add(-1)
				}
				assigned.Add(-count)
			}),
		)
	}
	settled := func(want int64) error {
		for assigned.Load() != int64(*each) || members.Load() != want {
			select {
			case <-ctx.Done():
				return fmt.Errorf("%d of %d members had %d of %d partitions when time was up", members.Load(), want, assigned.Load(), *each)
			case <-time.After(200 * time.Microsecond):
			}
		}
		return nil
	}
	began := time.Now()
	all := make([]*kgo.Client, *clients)
	for n := range all {
		client, err := join(n)
		if err != nil {
			return result{}, err
		}
		all[n] = client
	}
	if err := settled(int64(*clients)); err != nil {
		return result{}, err
	}
	joined := time.Since(began).Seconds()
	more := map[string]float64{"join_ms": joined * 1e3}
	if *clients > 1 {
		left := time.Now()
		all[0].Close()
		if err := settled(int64(*clients - 1)); err != nil {
			return result{}, err
		}
		more["leave_ms"] = time.Since(left).Seconds() * 1e3
	}
	// The process ends without leaving: the next run has another group.
	return result{joined, int64(*clients), nil, more}, nil
}

func fanout(ctx context.Context) (result, error) {
	began := time.Now()
	var messages atomic.Int64
	_, err := together(ctx, func(ctx context.Context, _ int) ([]int64, error) {
		client, err := connect(
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{*topic: {0: kgo.NewOffset().AtStart()}}), kgo.FetchMaxBytes(1<<20),
		)
		if err != nil {
			return nil, err
		}
		defer client.Close()
		for seen := 0; seen < *each; {
			fetches := client.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				return nil, err
			}
			seen += fetches.NumRecords()
			messages.Add(int64(fetches.NumRecords()))
		}
		return nil, nil
	})
	return result{time.Since(began).Seconds(), messages.Load(), nil, nil}, err
}

func keyed(ctx context.Context) (result, error) {
	client, err := connect(kgo.ProducerBatchMaxBytes(16<<10), kgo.MaxBufferedRecords(20000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return result{}, err
	}
	defer client.Close()
	began := time.Now()
	var failed atomic.Int64
	for n := range *each {
		key := fmt.Appendf(nil, "%016d", (n*7919)%*keys)
		client.Produce(ctx, &kgo.Record{Key: key, Value: make([]byte, *value)}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Add(1)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return result{}, err
	}
	if failed.Load() > 0 {
		return result{}, fmt.Errorf("%d records were not acknowledged", failed.Load())
	}
	return result{time.Since(began).Seconds(), int64(*each), nil, nil}, nil
}
