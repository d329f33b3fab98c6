"""JSON over HTTP to an endpoint that a configuration names, within its limits and with retries.

Used by models and by remote rewards; knows nothing of what is asked.
"""
