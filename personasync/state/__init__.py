"""The state: entries, their fold, and the log that keeps them."""

from personasync.state.entry import Entry, Header, Origin, ServiceMoved, Status
from personasync.state.file import FileStateLog
from personasync.state.fold import State, fold
from personasync.state.log import Holder, LogContents, StateLog
from personasync.state.open import load_state, open_log

__all__ = [
    "Entry",
    "FileStateLog",
    "Header",
    "Holder",
    "LogContents",
    "Origin",
    "ServiceMoved",
    "State",
    "StateLog",
    "Status",
    "fold",
    "load_state",
    "open_log",
]
