"""Generated from reward_service.proto by proto/generate.py; never edited by hand."""
