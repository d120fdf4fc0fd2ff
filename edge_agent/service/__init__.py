"""`edge-agent serve`: one agent over HTTP, for a review page, for cameras and for monitors.

A request passes `protocol` (time and size of its head), `boundary` (every failure becomes one JSON error), `admission` (Host list, token)
and the route table in `routes`; what it asks of the agent runs in a bounded `lane`, off the event loop. docs/service.md is the manual.
"""
