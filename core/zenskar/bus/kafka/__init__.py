"""The bus on Apache Kafka: producer, consumers, topics and offsets."""
