"""What lasts: files that are whole or absent, locks that no dead process holds, logs and shelves that notice damage.

ZcpError      the root of all errors that carry advice
BadFile       a file that cannot be trusted or written
Datum         a value inside plain data that knows its place; what comes from a file passes through it
RecordLog     an append-only log of finished work that survives a kill at any moment
OtherTask     a sound log, but of another task
write_atomic  a file written whole or not at all
held          a lock file, let go of by the kernel when its process dies
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
