"""Who may use the admin pages: accounts with roles, links that log in once, sessions, and what was done by whom."""
