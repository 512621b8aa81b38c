"""Where work runs, and nothing about what the work is.

map_on_devices   a function on every task, one worker process per device, one retry after a lost worker
WorkerCrash      a task whose worker died twice, or a script that lets no worker begin
check_devices    the device names in a text such as "cpu,cpu" or "auto"
BadDevice        a device that this machine does not have
one_thread       a block in which torch uses one thread, so that sums have the same last bits everywhere
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
