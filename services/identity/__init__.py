"""People: registration and its review, codes, logins, sessions, payment PINs."""
