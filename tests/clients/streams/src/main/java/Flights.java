import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.*;
import java.util.concurrent.CountDownLatch;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.kstream.*;

/**
 * A Kafka Streams application over the flights, with exactly-once processing, and what goes with it:
 *
 * <pre>
 * Flights BOOTSTRAP PREFIX publish LINES COUNT SECONDS   publishes so many flights, spread over so much time
 * Flights BOOTSTRAP PREFIX run STATE                     runs the application until it is killed
 * Flights BOOTSTRAP PREFIX check LINES COUNT SECONDS     waits for all output, compares it with a batch computation
 * </pre>
 *
 * The application counts words, and joins what lands at an airport with what takes off there within ten minutes. Each
 * has stores on disk with changelogs, and a topic in between. Nothing is cached, so every single step is put out: the
 * counts of a word are 1, 2, 3 and so on exactly when no record was lost, and none processed twice.
 */
public final class Flights {
    private static final int PARTITIONS = 3;
    private static final Duration WINDOW = Duration.ofMinutes(10);
    /** Nothing is ever too late: which flights meet must not depend on how fast the partitions are read. */
    private static final Duration GRACE = Duration.ofDays(365);
    private static final DateTimeFormatter DATE = DateTimeFormatter.ofPattern("yyyy/MM/dd HH:mm");
    private static final Pattern FIELD = Pattern.compile("\"(date|origin|destination)\":\"([^\"]*)\"");
    private static final Pattern WORD = Pattern.compile("\\w+");

    private final String bootstrap;
    private final String prefix;
    private final String flights;
    private final String counts;
    private final String meetings;

    private Flights(String bootstrap, String prefix) {
        this.bootstrap = bootstrap;
        this.prefix = prefix;
        flights = prefix + "-flights";
        counts = prefix + "-counts";
        meetings = prefix + "-meetings";
    }

    public static void main(String[] arguments) throws Exception {
        var app = new Flights(arguments[0], arguments[1]);
        switch (arguments[2]) {
            case "publish" -> app.publish(read(arguments[3], arguments[4]), Integer.parseInt(arguments[5]));
            case "run" -> app.run(arguments[3]);
            case "check" -> app.check(read(arguments[3], arguments[4]), Integer.parseInt(arguments[5]));
            default -> throw new IllegalArgumentException(arguments[2]);
        }
    }

    /** One flight; `row` makes it unlike all others. */
    private record Flight(int row, long time, String origin, String destination, String value) {
        static Flight of(int row, String json) {
            var fields = new HashMap<String, String>();
            var match = FIELD.matcher(json);
            while (match.find()) {
                fields.put(match.group(1), match.group(2));
            }
            long time = LocalDateTime.parse(fields.get("date"), DATE).toInstant(ZoneOffset.UTC).toEpochMilli();
            return new Flight(row, time, fields.get("origin"), fields.get("destination"), row + " " + json);
        }

        static Flight parse(String value) {
            int space = value.indexOf(' ');
            return of(Integer.parseInt(value.substring(0, space)), value.substring(space + 1));
        }

        List<String> words() {
            return WORD.matcher(value.substring(value.indexOf(' '))).results().map(found -> found.group()).toList();
        }
    }

    private static List<Flight> read(String file, String count) throws Exception {
        var found = new ArrayList<Flight>();
        try (var lines = Files.lines(Path.of(file))) {
            lines.limit(Integer.parseInt(count)).forEach(line -> found.add(Flight.of(found.size(), line.split("\t")[1])));
        }
        return found;
    }

    private void publish(List<Flight> all, int seconds) throws Exception {
        try (var admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            var topics = List.of(flights, counts, meetings).stream().map(name -> new NewTopic(name, PARTITIONS, (short) 1)).toList();
            admin.createTopics(topics).all().get();
        }
        System.out.println("created");
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "delivery.timeout.ms", "600000", "reconnect.backoff.max.ms", "200");
        long began = System.nanoTime();
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (Flight flight : all) {
                long due = began + seconds * 1_000_000_000L * flight.row / all.size();
                Thread.sleep(Math.max(0, (due - System.nanoTime()) / 1_000_000));
                producer.send(new ProducerRecord<>(flights, null, flight.time, flight.origin, flight.value), (at, failure) -> {
                    if (failure != null) {
                        failure.printStackTrace();
                        Runtime.getRuntime().halt(1);
                    }
                });
            }
        }
    }

    private Topology topology() {
        var text = Serdes.String();
        var builder = new StreamsBuilder();
        KStream<String, String> departures = builder.stream(flights, Consumed.with(text, text));
        departures.flatMapValues(value -> Flight.parse(value).words())
            .groupBy((airport, word) -> word, Grouped.with("words", text, text))
            .count(Materialized.as("count"))
            .toStream()
            .to(counts, Produced.with(text, Serdes.Long()));
        departures.selectKey((airport, value) -> Flight.parse(value).destination())
            .join(
                departures,
                (arrival, departure) -> Flight.parse(arrival).row() + " " + Flight.parse(departure).row(),
                JoinWindows.ofTimeDifferenceAndGrace(WINDOW, GRACE),
                StreamJoined.with(text, text, text).withName("meeting").withStoreName("meeting"))
            .to(meetings, Produced.with(text, text));
        return builder.build();
    }

    private void run(String state) throws Exception {
        var settings = new Properties();
        settings.putAll(Map.of(
            StreamsConfig.APPLICATION_ID_CONFIG, prefix + "-app",
            StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap,
            StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2,
            StreamsConfig.STATE_DIR_CONFIG, state,
            StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2,
            StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0,
            StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class,
            StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class));
        // Who is killed must be missed soon: a run is short.
        settings.put(StreamsConfig.consumerPrefix("session.timeout.ms"), 6000);
        settings.put(StreamsConfig.consumerPrefix("heartbeat.interval.ms"), 1000);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        settings.put("reconnect.backoff.max.ms", 200);
        settings.put("retry.backoff.max.ms", 200);
        var streams = new KafkaStreams(topology(), settings);
        streams.setUncaughtExceptionHandler(failure -> {
            System.err.println("replaced a thread that failed with " + failure);
            return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.start();
        new CountDownLatch(1).await();
    }

    private void check(List<Flight> all, int seconds) throws Exception {
        var words = new TreeMap<String, Long>();
        all.forEach(flight -> flight.words().forEach(word -> words.merge(word, 1L, Long::sum)));
        var pairs = new TreeSet<String>();
        var byOrigin = new HashMap<String, List<Flight>>();
        all.forEach(flight -> byOrigin.computeIfAbsent(flight.origin, airport -> new ArrayList<>()).add(flight));
        for (Flight arrival : all) {
            for (Flight departure : byOrigin.getOrDefault(arrival.destination, List.of())) {
                if (Math.abs(arrival.time - departure.time) <= WINDOW.toMillis()) {
                    pairs.add(arrival.row + " " + departure.row);
                }
            }
        }
        long total = words.values().stream().mapToLong(Long::longValue).sum();
        long deadline = System.nanoTime() + seconds * 1_000_000_000L;

        var counted = new TreeMap<String, Long>();
        long steps = 0;
        for (var record : all(counts, new LongDeserializer(), total, deadline)) {
            long before = counted.getOrDefault(record.key(), 0L);
            same("count of " + record.key() + " at " + record.partition() + ":" + record.offset(), record.value(), before + 1);
            counted.put(record.key(), record.value());
            steps++;
        }
        same("words", counted.keySet(), words.keySet());
        words.forEach((word, count) -> same("last count of " + word, counted.get(word), count));
        same("steps", steps, total);
        var met = new TreeSet<String>();
        for (var record : all(meetings, new StringDeserializer(), pairs.size(), deadline)) {
            if (!met.add(record.value())) {
                fail("flights " + record.value() + " met twice");
            }
            if (!pairs.contains(record.value())) {
                fail("flights " + record.value() + " never met");
            }
        }
        same("meetings", met.size(), pairs.size());
        System.out.println(total + " counts of " + words.size() + " words, " + pairs.size() + " meetings of " + all.size() + " flights");
    }

    /** Everything committed, as soon as there is as much as there has to be, and what comes within a second after that. */
    private <V> List<ConsumerRecord<String, V>> all(String topic, Deserializer<V> values, long expected, long deadline) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_committed");
        var found = new ArrayList<ConsumerRecord<String, V>>();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), values)) {
            var partitions = consumer.partitionsFor(topic).stream().map(info -> new TopicPartition(topic, info.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            while (found.size() < expected) {
                consumer.poll(Duration.ofMillis(200)).forEach(found::add);
                if (System.nanoTime() > deadline) {
                    fail(topic + " has " + found.size() + " records of " + expected);
                }
            }
            long rest = System.nanoTime() + 1_000_000_000L;
            while (System.nanoTime() < rest) {
                consumer.poll(Duration.ofMillis(100)).forEach(found::add);
            }
        }
        return found;
    }

    private static void same(String what, Object found, Object expected) {
        if (!Objects.equals(found, expected)) {
            fail(what + ": found " + found + ", expected " + expected);
        }
    }

    private static void fail(String why) {
        System.err.println(why);
        Runtime.getRuntime().halt(1);
    }
}
