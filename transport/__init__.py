"""How GraphQL travels: endpoints, limits, the console page, health, callbacks."""
