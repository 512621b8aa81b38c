"""Execution engines: run a list of tasks on local processes or on a cluster.

protocol.py    `Engine`: tasks in, (task, result) out
crew.py        `Crew`, `map_on_devices`: the engine of this machine, a worker process per device, one retry after a
               lost worker; `WorkerCrash` when that is not enough
cluster.py     `Cluster`: the engine of many machines, workers of dask.distributed; connection.py: its scheduler
workers.py     workers of a cluster that satisfy every `Need`; greeting.py: the function that asks them;
               `ClusterError` for a cluster that cannot be used
devices.py     `check_devices`: the devices in a text such as "cpu,cpu" or "auto"; `BadDevice` for one that is not there
memory.py      `free_memory`: how many bytes can still be taken
repeatable.py  `repeatable`: a block in which a kind of device gives the same numbers every time
threads.py     `one_thread`: a block in which sums have the same last bits on every machine
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
