"""PostgreSQL: engine, tables, migrations."""
