"""The lane on real Apache Kafka: zenskar as processes, scaled out, under faults."""
