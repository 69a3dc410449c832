"""Who may, and the one transaction a field needs."""
