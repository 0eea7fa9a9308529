"""Tests; the modules without `test_` are servers and values that several of them share."""
