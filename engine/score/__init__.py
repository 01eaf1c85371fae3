"""Intents to notes: vocabulary, transformer, composer."""
