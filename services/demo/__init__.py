"""The demo city, for development only: ``python -m services.demo`` loads it once."""
