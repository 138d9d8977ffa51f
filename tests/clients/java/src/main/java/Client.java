import java.io.BufferedOutputStream;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * One scenario per run: {@code Client BOOTSTRAP PREFIX SCENARIO [ARGUMENT...]}, through Kafka's own client.
 *
 * <p>Everything a scenario creates is named after PREFIX. Exit code 0 means that every check held; otherwise the
 * last line on standard error names the first that did not. Client settings stay at their defaults, but for what
 * a scenario is about.
 */
public final class Client {
    private static final Duration PATIENCE = Duration.ofSeconds(30);
    private static final long FIRST_TIMESTAMP = 946_684_800_000L;

    private final String bootstrap;
    private final String prefix;

    private Client(String bootstrap, String prefix) {
        this.bootstrap = bootstrap;
        this.prefix = prefix;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length < 3) {
            System.err.println("usage: Client BOOTSTRAP PREFIX SCENARIO [ARGUMENT...]");
            System.exit(2);
        }
        Client client = new Client(arguments[0], arguments[1]);
        try {
            switch (arguments[2]) {
                case "stocks" -> client.stocks(Path.of(arguments[3]));
                case "resume" -> client.resume();
                case "admin" -> client.admin();
                case "create" -> client.create(arguments[3], Integer.parseInt(arguments[4]));
                case "publish" -> client.publish(arguments[3], Path.of(arguments[4]));
                case "member" -> client.member(arguments[3], arguments[4]);
                default -> throw new Mismatch("there is no such scenario");
            }
        } catch (Mismatch | ExecutionException | ApiException mismatch) {
            System.err.println(arguments[2] + ": " + mismatch);
            System.exit(1);
        }
        System.exit(0);
    }

    /** Prices by symbol, published to a topic that nobody created, read back field by field. */
    private void stocks(Path csv) throws Exception {
        String topic = prefix + "-stocks";
        List<String> lines = Files.readAllLines(csv);
        lines = lines.subList(1, lines.size());
        check(lines.size() > 500, csv + " has only " + lines.size() + " rows");
        List<ProducerRecord<String, String>> sent = new ArrayList<>();
        Map<TopicPartition, Map<Long, Integer>> missing = new HashMap<>();
        try (Producer<String, String> producer = producer()) {
            List<Future<RecordMetadata>> answers = new ArrayList<>();
            for (String line : lines) {
                String symbol = line.substring(0, line.indexOf(','));
                long timestamp = FIRST_TIMESTAMP + sent.size() * 1000L;
                var record = new ProducerRecord<>(topic, null, timestamp, symbol, line);
                record.headers()
                    .add("source", "vega-datasets".getBytes())
                    .add("row", String.valueOf(sent.size()).getBytes())
                    .add(new RecordHeader("nothing", (byte[]) null));
                sent.add(record);
                answers.add(producer.send(record));
            }
            for (int row = 0; row < answers.size(); row++) {
                RecordMetadata at = answers.get(row).get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
                var partition = new TopicPartition(at.topic(), at.partition());
                Integer earlier = missing.computeIfAbsent(partition, p -> new HashMap<>()).put(at.offset(), row);
                check(earlier == null, "rows " + earlier + " and " + row + " were both acknowledged at " + at);
            }
        }

        try (Consumer<String, String> consumer = consumer(Map.of())) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                .map(info -> new TopicPartition(topic, info.partition())).toList();
            for (var end : consumer.endOffsets(partitions).entrySet()) {
                same("end of " + end.getKey(), end.getValue(), (long) missing.getOrDefault(end.getKey(), Map.of()).size());
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<String, Integer> last = new HashMap<>();
            long deadline = System.nanoTime() + PATIENCE.toNanos();
            for (int left = lines.size(); left > 0; ) {
                check(System.nanoTime() < deadline, left + " records never arrived");
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    Integer row = missing.get(new TopicPartition(topic, record.partition())).remove(record.offset());
                    check(row != null, "nobody wrote " + record + ", or it came twice");
                    var original = sent.get(row);
                    same("key", record.key(), original.key());
                    same("value", record.value(), original.value());
                    same("timestamp", record.timestamp(), original.timestamp());
                    same("headers", List.of(record.headers().toArray()), List.of(original.headers().toArray()));
                    Integer earlier = last.put(record.key(), row);
                    check(earlier == null || earlier < row, record.key() + ": row " + row + " came after row " + earlier);
                    left--;
                }
            }
            if (partitions.size() == 1) {
                int half = lines.size() / 2;
                var found = consumer.offsetsForTimes(Map.of(partitions.get(0), sent.get(half).timestamp()));
                same("offset for the time of the middle row", found.get(partitions.get(0)).offset(), (long) half);
            }
        }
    }

    /** A consumer commits part of a topic and leaves; the next one of its group goes on exactly there. */
    private void resume() throws Exception {
        String topic = prefix + "-resume";
        String group = prefix + "-resume-group";
        int records = 300;
        create(topic, 3);
        try (Producer<String, String> producer = producer()) {
            for (int n = 0; n < records; n++) {
                producer.send(new ProducerRecord<>(topic, "key " + n, "value " + n));
            }
        }
        Set<String> seen = new HashSet<>();
        for (int share : new int[] {100, 200}) {
            // The share of a poll is bounded, so that a commit of the position is a commit of exactly that share.
            var settings = Map.<String, Object>of("group.id", group, "enable.auto.commit", "false", "auto.offset.reset", "earliest", "max.poll.records", 50);
            try (Consumer<String, String> consumer = consumer(settings)) {
                consumer.subscribe(List.of(topic));
                long deadline = System.nanoTime() + PATIENCE.toNanos();
                int taken = 0;
                while (taken < share) {
                    check(System.nanoTime() < deadline, "record " + taken + " of " + share + " did not arrive");
                    for (var record : consumer.poll(Duration.ofSeconds(1))) {
                        if (taken == share) {
                            consumer.seek(new TopicPartition(topic, record.partition()), Math.min(record.offset(), consumer.position(new TopicPartition(topic, record.partition()))));
                            continue;
                        }
                        check(seen.add(record.value()), record.value() + " was read twice in spite of its commit");
                        taken++;
                    }
                }
                consumer.commitSync(PATIENCE);
                for (var committed : consumer.committed(consumer.assignment()).entrySet()) {
                    if (committed.getValue() != null) {
                        same("committed " + committed.getKey(), committed.getValue().offset(), consumer.position(committed.getKey()));
                    }
                }
            }
        }
        same("different values read", seen.size(), records);
    }

    private void create(String topic, int partitions) throws Exception {
        try (Admin admin = admin(bootstrap)) {
            admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        }
    }

    /** Topics created, described, altered and deleted; records and a group deleted. */
    private void admin() throws Exception {
        String topic = prefix + "-admin";
        String group = prefix + "-admin-group";
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        try (Admin admin = admin(bootstrap)) {
            var wanted = new NewTopic(topic, 3, (short) 1).configs(Map.of("retention.ms", "3600000"));
            var created = admin.createTopics(List.of(wanted));
            same("partitions in the answer", created.numPartitions(topic).get(), 3);
            same("retention.ms in the answer", created.config(topic).get().get("retention.ms").value(), "3600000");
            refused(TopicExistsException.class, () -> admin.createTopics(List.of(wanted)).all().get());
            refused(InvalidTopicException.class, () -> create("no spaces/please", 1));
            partitions(admin, topic, 3);
            same("topic id", admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).topicId(), created.topicId(topic).get());

            config(admin, topic, "retention.ms", "3600000", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
            var alter = List.of(
                new AlterConfigOp(new ConfigEntry("max.message.bytes", "65536"), AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND),
                new AlterConfigOp(new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE));
            admin.incrementalAlterConfigs(Map.of(resource, alter)).all().get();
            config(admin, topic, "max.message.bytes", "65536", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
            config(admin, topic, "cleanup.policy", "delete,compact", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
            config(admin, topic, "retention.ms", "604800000", ConfigEntry.ConfigSource.DEFAULT_CONFIG);
            var wrong = List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "soon"), AlterConfigOp.OpType.SET));
            refused(InvalidConfigurationException.class, () -> admin.incrementalAlterConfigs(Map.of(resource, wrong)).all().get());

            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            partitions(admin, topic, 5);
            refused(InvalidPartitionsException.class, () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all().get());

            var partition = new TopicPartition(topic, 4);
            try (Producer<String, String> producer = producer()) {
                for (int n = 0; n < 10; n++) {
                    producer.send(new ProducerRecord<>(topic, 4, FIRST_TIMESTAMP + n, "key", "value " + n));
                }
            }
            var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(7)));
            same("low watermark", deleted.lowWatermarks().get(partition).get().lowWatermark(), 7L);
            same("earliest", offset(admin, partition, OffsetSpec.earliest()), 7L);
            same("latest", offset(admin, partition, OffsetSpec.latest()), 10L);
            same("by time", offset(admin, partition, OffsetSpec.forTimestamp(FIRST_TIMESTAMP + 8)), 8L);
            same("max timestamp", offset(admin, partition, OffsetSpec.maxTimestamp()), 9L);

            admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(8, "by hand"))).all().get();
            var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            same("members", described.members().size(), 0);
            var listed = admin.listGroups().all().get().stream().map(GroupListing::groupId).toList();
            check(listed.contains(group), "the group is not listed among " + listed);
            var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            same("the group's offsets", offsets, Map.of(partition, new OffsetAndMetadata(8, "by hand")));
            admin.deleteConsumerGroups(List.of(group)).all().get();
            refused(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroups(List.of(group)).all().get());

            var cluster = admin.describeCluster();
            same("controller", cluster.controller().get(), cluster.nodes().get().iterator().next());
            admin.deleteTopics(List.of(topic)).all().get();
            refused(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(topic)).all().get());
        }
    }

    /** Publishes the lines of a file, key and value with a tab between them, and waits for every acknowledgement. */
    private void publish(String topic, Path file) throws Exception {
        List<Future<RecordMetadata>> answers = new ArrayList<>();
        try (Producer<String, String> producer = producer()) {
            for (String line : Files.readAllLines(file)) {
                int tab = line.indexOf('\t');
                answers.add(producer.send(new ProducerRecord<>(topic, line.substring(0, tab), line.substring(tab + 1))));
            }
            for (var answer : answers) {
                answer.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
            }
        }
        System.out.println("published " + answers.size());
    }

    /** One member of a group with everything at its default: prints what it reads until it is told to stop. */
    private void member(String topic, String group) throws Exception {
        Consumer<String, String> consumer = consumer(Map.of("group.id", group, "auto.offset.reset", "earliest"));
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try {
                main.join();
            } catch (InterruptedException ignored) {
                // Nothing is left to wait for.
            }
        }));
        consumer.subscribe(List.of(topic));
        var out = new PrintStream(new BufferedOutputStream(System.out));
        try {
            while (true) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    out.printf("record %d %d %s%n", record.partition(), record.offset(), record.key());
                }
                out.flush();
            }
        } catch (WakeupException stop) {
            consumer.close();
            Runtime.getRuntime().halt(0);
        }
    }

    private Admin admin(String bootstrap) {
        return Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    private Producer<String, String> producer() {
        return new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap), new StringSerializer(), new StringSerializer());
    }

    private Consumer<String, String> consumer(Map<String, Object> settings) {
        var all = new HashMap<>(settings);
        all.put("bootstrap.servers", bootstrap);
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    private static long offset(Admin admin, TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }

    private static void partitions(Admin admin, String topic, int count) throws Exception {
        eventually(() -> same("partitions", admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size(), count));
    }

    private static void config(Admin admin, String topic, String name, String value, ConfigEntry.ConfigSource source) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        eventually(() -> {
            ConfigEntry entry = admin.describeConfigs(List.of(resource)).all().get().get(resource).get(name);
            check(entry != null, "the topic has no config " + name);
            same(name, List.of(entry.value(), entry.source()), List.of(value, source));
        });
    }

    private interface Step {
        void run() throws Exception;
    }

    /** Repeats a check: Kafka answers a change before every part of it shows. */
    private static void eventually(Step step) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(5);
        while (true) {
            try {
                step.run();
                return;
            } catch (Mismatch | ExecutionException notYet) {
                if (System.nanoTime() > deadline) {
                    throw notYet;
                }
                Thread.sleep(50);
            }
        }
    }

    private static void refused(Class<? extends Throwable> expected, Step step) throws Exception {
        try {
            step.run();
        } catch (ExecutionException refusal) {
            check(expected.isInstance(refusal.getCause()), "refused with " + refusal.getCause() + ", expected " + expected.getSimpleName());
            return;
        }
        throw new Mismatch("not refused, expected " + expected.getSimpleName());
    }

    private static void same(String what, Object found, Object expected) throws Mismatch {
        check(Objects.equals(found, expected), what + ": found " + found + ", expected " + expected);
    }

    private static void check(boolean holds, String otherwise) throws Mismatch {
        if (!holds) {
            throw new Mismatch(otherwise);
        }
    }

    /** A check that did not hold. */
    private static final class Mismatch extends Exception {
        Mismatch(String message) {
            super(message);
        }
    }
}
