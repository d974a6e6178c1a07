"""Private PostgreSQL and Valkey servers, from wheels."""
