import java.time.Duration;
import java.util.*;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/**
 * Copies a topic exactly once, while brokers and workers are killed:
 *
 * <pre>
 * Copy BOOTSTRAP PREFIX feed SECONDS RATE VERSION
 *                                              publishes numbered records, so many a second; prints how many.
 *                                              VERSION is the transaction.version that the workers will find
 * Copy BOOTSTRAP PREFIX work NAME PROTOCOL     consumes, transforms, produces and commits in one transaction, until killed
 * Copy BOOTSTRAP PREFIX check COUNT SECONDS    waits for the copy, and compares it with what was published
 * </pre>
 *
 * Record n goes to partition n modulo their number, and its copy to the same, so both have to be in the same order.
 */
public final class Copy {
    private static final int PARTITIONS = 6;
    /** So many of a hundred transactions are aborted by their worker. */
    private static final int ABORTED = 5;
    private static final int TOGETHER_MAX = 100;

    private final String bootstrap;
    private final String from;
    private final String to;
    private final String group;

    private Copy(String bootstrap, String prefix) {
        this.bootstrap = bootstrap;
        from = prefix + "-from";
        to = prefix + "-to";
        group = prefix + "-copy";
    }

    public static void main(String[] arguments) throws Exception {
        var copy = new Copy(arguments[0], arguments[1]);
        switch (arguments[2]) {
            case "feed" -> copy.feed(Integer.parseInt(arguments[3]), Integer.parseInt(arguments[4]), Short.parseShort(arguments[5]));
            case "work" -> copy.work(arguments[3], arguments[4]);
            case "check" -> copy.check(Integer.parseInt(arguments[3]), Integer.parseInt(arguments[4]));
            default -> throw new IllegalArgumentException(arguments[2]);
        }
    }

    private void feed(int seconds, int rate, short version) throws Exception {
        try (var admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(from, PARTITIONS, (short) 1), new NewTopic(to, PARTITIONS, (short) 1))).all().get();
            short found = admin.describeFeatures().featureMetadata().get().finalizedFeatures().get("transaction.version").maxVersionLevel();
            if (found != version) {
                var update = new FeatureUpdate(version, FeatureUpdate.UpgradeType.SAFE_DOWNGRADE);
                admin.updateFeatures(Map.of("transaction.version", update), new UpdateFeaturesOptions()).all().get();
            }
        }
        System.out.println("created");
        int count = seconds * rate;
        var acknowledged = new AtomicInteger();
        long began = System.nanoTime();
        try (var producer = producer(Map.of())) {
            for (int n = 0; n < count; n++) {
                Thread.sleep(Math.max(0, (began + n * 1_000_000_000L / rate - System.nanoTime()) / 1_000_000));
                producer.send(new ProducerRecord<>(from, n % PARTITIONS, null, String.valueOf(n)), (at, failure) -> {
                    if (failure == null) {
                        acknowledged.incrementAndGet();
                    } else {
                        System.err.println("a record was not taken: " + failure);
                    }
                });
            }
        }
        System.out.println("published " + acknowledged);
        System.exit(acknowledged.get() == count ? 0 : 1);
    }

    private static String copied(String value) {
        return "copy of " + value;
    }

    /** Begins anew, with a new producer and a new consumer, whenever anything failed that is more than an abort. */
    private void work(String name, String protocol) {
        var random = new Random();
        long committed = 0;
        while (true) {
            Producer<String, String> producer = null;
            Consumer<String, String> consumer = null;
            try {
                producer = producer(Map.of("transactional.id", name, "transaction.timeout.ms", "10000"));
                producer.initTransactions();
                consumer = consumer(protocol);
                consumer.subscribe(List.of(from));
                while (true) {
                    var records = consumer.poll(Duration.ofMillis(200));
                    if (records.isEmpty()) {
                        continue;
                    }
                    producer.beginTransaction();
                    var offsets = new HashMap<TopicPartition, OffsetAndMetadata>();
                    for (var record : records) {
                        producer.send(new ProducerRecord<>(to, record.partition(), null, copied(record.value())));
                        offsets.put(new TopicPartition(from, record.partition()), new OffsetAndMetadata(record.offset() + 1));
                    }
                    producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                    if (random.nextInt(100) < ABORTED) {
                        producer.flush();
                        producer.abortTransaction();
                        back(consumer);
                    } else {
                        producer.commitTransaction();
                        committed++;
                    }
                }
            } catch (KafkaException failure) {
                System.err.println(name + " begins anew after " + committed + " transactions: " + failure);
            } finally {
                if (producer != null) {
                    producer.close(Duration.ZERO);
                }
                if (consumer != null) {
                    consumer.close(CloseOptions.timeout(Duration.ofMillis(500)));
                }
            }
        }
    }

    /** What was read in an aborted transaction is read again. */
    private static void back(Consumer<String, String> consumer) {
        var committed = consumer.committed(consumer.assignment());
        for (TopicPartition partition : consumer.assignment()) {
            var offset = committed.get(partition);
            consumer.seek(partition, offset == null ? 0 : offset.offset());
        }
    }

    private void check(int count, int seconds) throws Exception {
        long deadline = System.nanoTime() + seconds * 1_000_000_000L;
        var next = new int[PARTITIONS];
        Arrays.setAll(next, partition -> partition);
        int found = 0;
        var partitions = new ArrayList<TopicPartition>();
        for (int partition = 0; partition < PARTITIONS; partition++) {
            partitions.add(new TopicPartition(to, partition));
        }
        try (var consumer = consumer(null)) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            // A second more than needed, for what should not be there.
            for (long rest = 0; rest == 0 || System.nanoTime() < rest; ) {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    String expected = copied(String.valueOf(next[record.partition()]));
                    if (!record.value().equals(expected)) {
                        fail("offset " + record.offset() + " of partition " + record.partition() + " is a " + record.value() + ", not a " + expected);
                    }
                    next[record.partition()] += PARTITIONS;
                    found++;
                }
                if (found >= count && rest == 0) {
                    rest = System.nanoTime() + 1_000_000_000L;
                }
                if (found < count && System.nanoTime() > deadline) {
                    fail(found + " of " + count + " records were copied");
                }
            }
        }
        if (found != count) {
            fail(found + " records were copied of " + count);
        }
        nothingHangs(partitions, deadline);
        System.out.println("copied " + found);
        System.exit(0);
    }

    /** Readers of committed records are at the end, and no transaction is open. */
    private void nothingHangs(List<TopicPartition> partitions, long deadline) throws Exception {
        try (var admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            var latest = new HashMap<TopicPartition, OffsetSpec>();
            partitions.forEach(partition -> latest.put(partition, OffsetSpec.latest()));
            var ongoing = new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING));
            while (true) {
                var stable = new HashMap<TopicPartition, Long>();
                var written = new HashMap<TopicPartition, Long>();
                admin.listOffsets(latest, new ListOffsetsOptions(IsolationLevel.READ_COMMITTED)).all().get()
                    .forEach((partition, end) -> stable.put(partition, end.offset()));
                admin.listOffsets(latest, new ListOffsetsOptions(IsolationLevel.READ_UNCOMMITTED)).all().get()
                    .forEach((partition, end) -> written.put(partition, end.offset()));
                var open = admin.listTransactions(ongoing).all().get();
                if (stable.equals(written) && open.isEmpty()) {
                    return;
                }
                if (System.nanoTime() > deadline) {
                    fail("hanging: " + open + ", readers at " + stable + " of " + written);
                }
                Thread.sleep(200);
            }
        }
    }

    private static void fail(String why) {
        System.err.println(why);
        Runtime.getRuntime().halt(1);
    }

    private Producer<String, String> producer(Map<String, Object> more) {
        var settings = new HashMap<>(more);
        settings.put("bootstrap.servers", bootstrap);
        settings.put("reconnect.backoff.max.ms", 200);
        if (!more.containsKey("transactional.id")) {
            settings.put("delivery.timeout.ms", 600_000);
        }
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    /** A member of the group under a group protocol, or a reader of its own. */
    private Consumer<String, String> consumer(String protocol) {
        var settings = new HashMap<String, Object>();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("reconnect.backoff.max.ms", 200);
        settings.put("isolation.level", "read_committed");
        if (protocol != null) {
            settings.put("group.id", group);
            settings.put("group.protocol", protocol);
            settings.put("auto.offset.reset", "earliest");
            settings.put("enable.auto.commit", false);
            settings.put("max.poll.records", TOGETHER_MAX);
            if (protocol.equals("classic")) {
                settings.put("session.timeout.ms", 6000);
                settings.put("heartbeat.interval.ms", 1000);
            }
        }
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }
}
