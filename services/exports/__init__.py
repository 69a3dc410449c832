"""Copies of people's own data: asked for, written by a job, fetched by a link that expires."""
