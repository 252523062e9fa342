#!/bin/sh
exec /opt/kafka/bin/java org.apache.kafka.tools.BrokerApiVersionsCommand "$@"
