"""Rows of files that strangers wrote: CSV, TSV, JSON lines, JSON."""
