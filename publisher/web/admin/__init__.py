"""The admin listener: what happens, what happened and why, and what an operator may do about it."""
