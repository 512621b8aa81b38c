"""Persistent data: atomic files, locks that a dead process releases, logs and shelves that detect damage.

errors.py  `ZcpError`: the root of all errors that carry advice, and its children `WrongInput`, `MissingData`,
           `CannotCompute` and `WorkStopped`
files.py   `write_atomic` and reading with a limit; `BadFile` for a file that cannot be trusted or written
datum.py   `Datum`: a value inside plain data that knows its place; what comes from a file passes through it
locks.py   `held`: a lock that the kernel opens when its process dies; temporary files that are swept
log.py     `RecordLog`: finished work, a line each, that survives a kill; `OtherTask` for the log of another task
shelf.py   `Shelf` of records and `ArrayShelf`: sealed entries by key
plugins.py `load_plugins`: Python files that the user names, executed once
text.py    `literal`: text from a file, escaped for a terminal
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
