"""Benchmarks on generated input: how many readings a processor-second carries, and how much memory that takes."""
