package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func create(ctx context.Context, b bench, topic, partitions string) error {
	count, err := strconv.ParseInt(partitions, 10, 32)
	if err != nil {
		return err
	}
	client, err := b.client()
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(ctx, int32(count), 1, nil, topic)
	return err
}

// admin creates, describes, alters and deletes topics, trims one and looks after a group's offsets.
func admin(ctx context.Context, b bench) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	topic, group := b.name("admin"), b.name("admin-group")
	client, err := b.client(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)

	steps := []struct {
		name string
		do   func() error
	}{
		{"create", func() error {
			created, err := adm.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": kadm.StringPtr("3600000")}, topic)
			if err != nil {
				return err
			}
			return same("partitions in the answer", created.NumPartitions, int32(3))
		}},
		{"create twice", func() error {
			_, err := adm.CreateTopic(ctx, 3, 1, nil, topic)
			return expectError(err, kerr.TopicAlreadyExists)
		}},
		{"create with a bad name", func() error {
			_, err := adm.CreateTopic(ctx, 1, 1, nil, "no spaces/please")
			return expectError(err, kerr.InvalidTopicException)
		}},
		{"describe", func() error { return partitions(ctx, adm, topic, 3) }},
		{"describe config", func() error {
			return config(ctx, adm, topic, "retention.ms", "3600000", "DYNAMIC_TOPIC_CONFIG")
		}},
		{"alter config", func() error {
			altered, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{
				{Op: kadm.SetConfig, Name: "max.message.bytes", Value: kadm.StringPtr("65536")},
				{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")},
				{Op: kadm.DeleteConfig, Name: "retention.ms"},
			}, topic)
			if err != nil {
				return err
			}
			if err := altered[0].Err; err != nil {
				return err
			}
			if err := config(ctx, adm, topic, "max.message.bytes", "65536", "DYNAMIC_TOPIC_CONFIG"); err != nil {
				return err
			}
			if err := config(ctx, adm, topic, "cleanup.policy", "delete,compact", "DYNAMIC_TOPIC_CONFIG"); err != nil {
				return err
			}
			return config(ctx, adm, topic, "retention.ms", "604800000", "DEFAULT_CONFIG")
		}},
		{"alter config with a wrong value", func() error {
			altered, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{
				{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("soon")},
			}, topic)
			if err != nil {
				return err
			}
			return expectError(altered[0].Err, kerr.InvalidConfig)
		}},
		{"create partitions", func() error {
			answers, err := adm.UpdatePartitions(ctx, 5, topic)
			if err != nil {
				return err
			}
			if err := answers.Error(); err != nil {
				return err
			}
			return partitions(ctx, adm, topic, 5)
		}},
		{"delete records", func() error {
			for n := range 10 {
				record := &kgo.Record{Partition: 4, Key: []byte("k"), Value: fmt.Appendf(nil, "%d", n)}
				if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
					return err
				}
			}
			var upTo kadm.Offsets
			upTo.AddOffset(topic, 4, 7, -1)
			deleted, err := adm.DeleteRecords(ctx, upTo)
			if err != nil {
				return err
			}
			if err := deleted.Error(); err != nil {
				return err
			}
			starts, err := adm.ListStartOffsets(ctx, topic)
			if err != nil {
				return err
			}
			start, _ := starts.Lookup(topic, 4)
			return same("start after deleting up to 7", start.Offset, int64(7))
		}},
		{"commit for a group without members", func() error {
			var offsets kadm.Offsets
			offsets.AddOffset(topic, 4, 8, -1)
			if err := adm.CommitAllOffsets(ctx, group, offsets); err != nil {
				return err
			}
			groups, err := adm.DescribeGroups(ctx, group)
			if err != nil {
				return err
			}
			if err := same("state", groups[group].State, "Empty"); err != nil {
				return err
			}
			listed, err := adm.ListGroups(ctx)
			if err != nil {
				return err
			}
			if _, known := listed[group]; !known {
				return fmt.Errorf("the group is not listed")
			}
			lags, err := adm.Lag(ctx, group)
			if err != nil {
				return err
			}
			return same("lag", lags[group].Lag.Total(), int64(2))
		}},
		{"delete the group", func() error {
			if _, err := adm.DeleteGroup(ctx, group); err != nil {
				return err
			}
			_, err := adm.DeleteGroup(ctx, group)
			return expectError(err, kerr.GroupIDNotFound)
		}},
		{"delete", func() error {
			if _, err := adm.DeleteTopic(ctx, topic); err != nil {
				return err
			}
			_, err := adm.DeleteTopic(ctx, topic)
			return expectError(err, kerr.UnknownTopicOrPartition)
		}},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func expectError(err error, expected *kerr.Error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return fmt.Errorf("answered %v, expected %v", err, expected)
}

// eventually repeats a check: Kafka answers a change before every part of it shows.
func eventually(ctx context.Context, check func() error) error {
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func partitions(ctx context.Context, adm *kadm.Client, topic string, count int) error {
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return eventually(within, func() error {
		topics, err := adm.ListTopics(ctx, topic)
		if err != nil {
			return err
		}
		return same("partitions", len(topics[topic].Partitions), count)
	})
}

func config(ctx context.Context, adm *kadm.Client, topic, name, value, source string) error {
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return eventually(within, func() error {
		described, err := adm.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return err
		}
		on, err := described.On(topic, nil)
		if err != nil {
			return err
		}
		for _, entry := range on.Configs {
			if entry.Key == name {
				return same(name, []string{entry.MaybeValue(), entry.Source.String()}, []string{value, source})
			}
		}
		return fmt.Errorf("the topic has no config %s", name)
	})
}
