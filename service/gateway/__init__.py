"""The gateway: one process that takes calls in and gives one outcome per item out.

Holds the front door, admission, planning, the lanes and the metrics; imports `wire`, `config` and
`replica`, never Ray. Nothing here may block the event loop for more than 5 ms.
"""
