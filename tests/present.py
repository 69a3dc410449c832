"""What is open for helpers that are no fixtures; conftest and `make prove` set it."""

superuser_url = ""
