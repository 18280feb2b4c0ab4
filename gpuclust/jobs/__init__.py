"""Batch jobs: a file in, a folder of results out, all of it or nothing."""
