#!/bin/sh
# Some of the tests call the script of this name under $KAFKA_PATH: Kafka's own tool, from its jars.
exec java -Xmx128m -XX:TieredStopAtLevel=1 -cp "${QUIPU_CACHE:-$HOME/.cache/quipu}/kafka-4.3.1/libs/*" org.apache.kafka.tools.AclCommand "$@"
