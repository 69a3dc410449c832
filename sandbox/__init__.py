"""The bank and the SMS gateway of the development city: other companies' servers."""
