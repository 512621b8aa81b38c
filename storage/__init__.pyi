from .datum import Datum as Datum
from .errors import ZcpError as ZcpError
from .files import BadFile as BadFile
from .files import write_atomic as write_atomic
from .locks import held as held
from .log import OtherTask as OtherTask
from .log import RecordLog as RecordLog
