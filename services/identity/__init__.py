"""People: registration and its review, codes, logins in two steps, sessions, payment PINs."""
