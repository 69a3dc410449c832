"""The rules: pure and synchronous."""
