"""Who may call: tokens, certificates, callers with their grants and quotas. Knows no transport.

A gateway has one `gate.Gate`, made from a file of its own (`settings`), which it reads again when
that or a file that it names changes. The gate makes of what a call brings a `caller.Caller`.
"""
