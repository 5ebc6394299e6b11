"""Result sinks: where finished requests are kept, so that hard cases can become training data.

The way of a record: worker -> `handover` (memory, bounded) -> `spool` (disk, bounded) -> a sink. Nobody who answers
requests waits for a disk or a server, and a record leaves the spool only when the sink has committed it.
"""
