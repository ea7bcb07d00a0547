"""Producers that are not guardian's: confluent-kafka, kafkajs and kcat, with every codec of Kafka."""
