"""The money core seen from Python: posting, desk, reading, verification."""
