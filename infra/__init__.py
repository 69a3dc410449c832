"""The world: settings, database, lanes, Valkey, queue, gateways, encryption, logging."""
