"""Mail: bytes, replies and slots decided purely; SMTP, outbox and the embedded inbox acting on them."""
