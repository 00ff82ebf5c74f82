"""Adapters on any torch module. Knows torch and peft; knows no arguments, no model registry and no trainer."""
