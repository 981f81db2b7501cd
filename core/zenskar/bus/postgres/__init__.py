"""The bus on PostgreSQL: the outbox table is the queue, LISTEN/NOTIFY wakes receivers."""
