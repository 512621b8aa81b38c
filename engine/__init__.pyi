from .crew import Crew as Crew
from .crew import WorkerCrash as WorkerCrash
from .crew import map_on_devices as map_on_devices
from .devices import BadDevice as BadDevice
from .devices import check_devices as check_devices
from .memory import free_memory as free_memory
from .threads import one_thread as one_thread
