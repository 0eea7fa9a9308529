"""What must not be forgotten: articles, readers, issues and deliveries, on SQLite or PostgreSQL."""
