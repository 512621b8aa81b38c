"""Where work runs, and nothing about what the work is.

crew.py     `map_on_devices`: a function on every task, a worker process per device, one retry after a lost worker;
            `WorkerCrash` when that is not enough
devices.py  `check_devices`: the devices in a text such as "cpu,cpu" or "auto"; `BadDevice` for one that is not there
memory.py   `free_memory`: how many bytes can still be taken
threads.py  `one_thread`: a block in which sums have the same last bits on every machine
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
