"""HTML and Markdown from strangers: made safe, made absolute, made plain."""
